/** The tests' own C programs: compiled when a test needs one, gone with it. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type OnCleanup, run, temporaryDirectory } from "./process.js";

/** Compiles `test/support/<name>.c`; returns the program's path. */
export async function compile(name: string, onCleanup: OnCleanup): Promise<string> {
  const source = fileURLToPath(new URL(`../../../test/support/${name}.c`, import.meta.url));
  const program = join(await temporaryDirectory(onCleanup), name);
  await run("gcc", ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source]);
  return program;
}
