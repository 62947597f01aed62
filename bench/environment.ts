/**
 * Where something was measured: kept with every result, since figures mean nothing without it. And what the machine's
 * processors do meanwhile.
 */
import { readFileSync } from "node:fs";
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

/** USER_HZ, the same on every architecture that Node supports. */
const TICKS_PER_SECOND = 100;

/** What all processors have worked since the machine started, and what its hypervisor gave to others, from proc_stat(5). */
export function processorSeconds(): { readonly worked: number; readonly stolen: number } {
  const [, ...ticks] = (readFileSync("/proc/stat", "utf8").split("\n", 1)[0] ?? "").split(/\s+/).map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks;
  const worked = user + nice + system + irq + softirq;
  return { worked: worked / TICKS_PER_SECOND, stolen: steal / TICKS_PER_SECOND };
}
