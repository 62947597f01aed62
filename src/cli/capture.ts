/** `weft capture`: what the daemon's workers see, as a file for Wireshark. */
import { createWriteStream } from "node:fs";
import type { IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import { ConfigError, EXIT_OK, WeftError } from "../config/errors.js";
import { CAPTURE_DEFAULTS } from "../config/requests.js";
import { ask, open } from "./client.js";
import { type Command, parseCommandLine, RUN_DIR, RUN_DIR_HELP } from "./command.js";
import { plural } from "./format.js";

const { packets, seconds, snaplen } = CAPTURE_DEFAULTS;
const value = { type: "string" } as const;

export const capture: Command = {
  name: "capture",
  usage: "[--write FILE] [filters] [bounds] [--run-dir DIR]",
  summary: "write what the daemon sees to a file for Wireshark",
  help: `Writes pcapng: every packet as read from the TUN, each datagram sent and received, and what is
written to the TUN; the comment of a packet says what became of it. To standard output, unless
that is a terminal, or to FILE. One capture runs at a time; Ctrl-C ends it.

  --write FILE       where to, instead of standard output
Filters; what is captured meets all of them
  --peer ADDR        only to and from the peer with this underlay address
  --address IP|CIDR  only packets with this inner source or destination
  --reason NAME      only what is dropped for this reason ('weft counters --all' lists them)
  --direction tx|rx  tx: from the pods to other hosts; rx: the reverse
Bounds
  --packets N        end after N packets (default ${packets})
  --seconds N        end after N seconds (default ${seconds})
  --snaplen N        keep N bytes of each packet (default ${snaplen})

${RUN_DIR_HELP}`,
  async run(args) {
    const { values } = parseCommandLine("capture", {
      args: [...args],
      options: {
        ...RUN_DIR,
        write: value,
        peer: value,
        address: value,
        reason: value,
        direction: value,
        packets: value,
        seconds: value,
        snaplen: value,
      },
    });
    const { "run-dir": runDir, write: file, ...asked } = values;
    if (file === undefined && process.stdout.isTTY) {
      throw new ConfigError(
        "a capture is no text for a terminal: name a file with --write, or pipe it, as in weft capture | tshark -r -",
      );
    }
    const response = await open(runDir, "GET", `/capture?${new URLSearchParams(asked).toString()}`);
    process.stderr.write("capturing; Ctrl-C ends it\n");
    const stop = (): void => void ask(runDir, "DELETE", "/capture").catch(() => response.destroy());
    process.once("SIGINT", stop).once("SIGTERM", stop);
    try {
      await save(response, file ?? null);
    } finally {
      process.off("SIGINT", stop).off("SIGTERM", stop);
    }
    const { "weft-captured": captured = "0", "weft-lost": lost = "0" } = response.trailers;
    process.stderr.write(`${plural(Number(captured), "packet")} captured, ${lost} lost\n`);
    return EXIT_OK;
  },
};

/** Writes the answer to a file, or to standard output; whoever reads that may stop before its end. */
async function save(response: IncomingMessage, file: string | null): Promise<void> {
  // Packets are nobody else's business.
  const output = file === null ? process.stdout : createWriteStream(file, { mode: 0o600 });
  try {
    await pipeline(response, output, { end: file !== null });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    response.destroy();
    if (code === "EPIPE") return;
    throw new WeftError(
      code === "ECONNRESET"
        ? "weftd ended before the capture did: the file lacks its last packets"
        : `cannot write the capture: ${message}`,
      undefined,
      { cause: error },
    );
  }
}
