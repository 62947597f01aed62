/** What the entry points share: turning an outcome into an exit code. */
import { EXIT_FAILED, WeftError } from "./config/errors.js";

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
