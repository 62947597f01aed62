/** What the entry points share: running weftd from a command line, and turning an outcome into an exit code. */
import { readFileSync } from "node:fs";
import { EXIT_FAILED, EXIT_OK, WeftError } from "./config/errors.js";
import { helpText } from "./config/help.js";
import { parseOptions } from "./config/parse-options.js";
import { VERSION } from "./config/version.js";
import type { Inheritance } from "./dataplane/inheritance.js";
import resume from "./resume.cjs";

/**
 * Runs `main` and sets the process's exit code. An expected failure is one line on standard error; anything else is a
 * bug and shows its stack.
 */
export async function runMain(program: string, main: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (error instanceof WeftError) {
      process.stderr.write(`${program}: ${error.message}\n`);
      process.exitCode = error.exitCode;
    } else {
      process.stderr.write(
        `${program}: this is a bug: ${error instanceof Error ? error.stack : String(error)}\n`,
      );
      process.exitCode = EXIT_FAILED;
    }
  }
}

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
