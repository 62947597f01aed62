/** `weft trace`: what would become of a packet. */
import { ConfigError, EXIT_FAILED, EXIT_OK } from "../config/errors.js";
import type { TraceStatus } from "../observe/status.js";
import { ask } from "./client.js";
import { type Command, JSON_HELP, parseCommandLine, RUN_DIR, RUN_DIR_HELP } from "./command.js";
import { paint, printable } from "./format.js";

export const trace: Command = {
  name: "trace",
  usage: "<src> <dst> [proto [port]] [--size BYTES] [--json] [--run-dir DIR]",
  summary: "what would become of a packet here, and why",
  help: `Runs a made-up packet through the code that forwards, under the tables in use, and sends nothing.
When <src> is a peer's and <dst> this host's, the packet is one that arrives from that peer;
otherwise one that leaves. proto is tcp, udp, icmp or a number (default: an echo request), port
the destination's (default 80). The exit code is 0 when the packet is forwarded, 1 when dropped.

  --size BYTES    length of the packet with its IP header (default: just the headers)
${JSON_HELP}${RUN_DIR_HELP}`,
  async run(args) {
    const { values, positionals } = parseCommandLine("trace", {
      args: [...args],
      options: { ...RUN_DIR, size: { type: "string" }, json: { type: "boolean", default: false } },
      allowPositionals: true,
    });
    const [src, dst, proto, port, ...rest] = positionals;
    if (src === undefined || dst === undefined || rest.length > 0) {
      throw new ConfigError("weft trace takes <src> <dst> [proto [port]] (see weft trace --help)");
    }
    const { size } = values;
    const query = new URLSearchParams({
      src,
      dst,
      ...(proto !== undefined && { proto }),
      ...(port !== undefined && { port }),
      ...(size !== undefined && { size }),
    });
    const answer = (await ask(values["run-dir"], "GET", `/trace?${query.toString()}`)) as TraceStatus;
    process.stdout.write(values.json ? `${JSON.stringify(answer, null, 2)}\n` : text(answer));
    return answer.verdict === "forwarded" ? EXIT_OK : EXIT_FAILED;
  },
};

function text({ direction, verdict, size, steps }: TraceStatus): string {
  const way = direction === "tx" ? "leaves this host" : "arrives at this host";
  const width = Math.max(...steps.map(({ name }) => name.length));
  const lines = steps.map(({ name, outcome }) => `  ${name.padEnd(width)}  ${printable(outcome)}\n`);
  const head = paint(verdict === "forwarded" ? "green" : "red", verdict);
  return `${head}: a packet of ${size} bytes that ${way}\n${lines.join("")}`;
}
