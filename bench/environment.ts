/** Where something was measured: kept with every result, since figures mean nothing without it. */
import { cpus, loadavg, release } from "node:os";
import { fileURLToPath } from "node:url";
import { run } from "../test/support/process.js";

/** The checkout. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

export interface Environment {
  readonly kernel: string;
  readonly cpu: string;
  readonly cores: number;
  /** Average over the minute before: what else ran. */
  readonly load: number;
  readonly node: string;
  readonly commit: string;
}

/** Of this machine and checkout, now: to be called before the first load. */
export async function readEnvironment(): Promise<Environment> {
  return {
    kernel: release().replace(/-.*/, ""),
    cpu: cpus()[0]?.model ?? "unknown processor",
    cores: cpus().length,
    load: loadavg()[0] ?? NaN,
    node: process.versions.node,
    commit: (await run("git", ["-C", root, "rev-parse", "--short", "HEAD"])).trim(),
  };
}
