/** Running weftd from a command line, for its own entry point and for `weft up`. */
import { readFileSync } from "node:fs";
import { EXIT_OK } from "./config/errors.js";
import { helpText } from "./config/help.js";
import { parseOptions } from "./config/parse-options.js";
import { VERSION } from "./config/version.js";
import type { Inheritance } from "./dataplane/inheritance.js";
import resume from "./resume.cjs";

/** Does what weftd's command line asks for; resolves with the exit code when the daemon has ended. */
export async function weftd(
  argv: readonly string[],
  inheritance: Inheritance = resume.NOTHING,
): Promise<number> {
  const request = parseOptions(argv, process.env);
  if (request.kind === "help") process.stdout.write(helpText());
  if (request.kind === "version") process.stdout.write(`weftd ${VERSION}\n`);
  if (request.kind !== "run") return EXIT_OK;
  // Loaded only now: help and wrong use need neither the addon nor the registries.
  const { runDaemon } = await import("./daemon.js");
  return runDaemon({ ...request.options, nodeId: request.options.nodeId ?? machineId() }, inheritance);
}

/** This machine's id (machine-id(5)); null where there is none. */
function machineId(): string | null {
  try {
    return readFileSync("/etc/machine-id", "utf8").trim() || null;
  } catch {
    return null;
  }
}
