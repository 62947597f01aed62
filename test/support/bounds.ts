/**
 * Bounds of the fault catalogue, held by tests. On a machine that runs other tests at the same time a bound gets some
 * slack; WEFT_TEST_SLACK=0 takes it away, as the run does that docs/faults.md is made from.
 */
import type { ExecutionContext } from "ava";
import { recordFinding } from "./findings.js";
import { until } from "./process.js";

/** What a busy machine may add to a bound, in ms. */
export const SLACK_MS = Number(process.env["WEFT_TEST_SLACK"] ?? 6000);

export interface Bound {
  readonly row: string;
  readonly fault: string;
  readonly boundMs: number;
}

/** Waits for what must come within a bound, and records how long it took; resolves with the milliseconds. */
export async function within(
  t: ExecutionContext,
  bound: Bound,
  what: string,
  probe: () => boolean | Promise<boolean>,
): Promise<number> {
  const begin = performance.now();
  await until(what, async () => ((await probe()) ? true : null), bound.boundMs + SLACK_MS);
  const tookMs = performance.now() - begin;
  recordTime(t, bound, tookMs);
  return tookMs;
}

/** Records a time that was taken otherwise, and fails when it is beyond the bound. */
export function recordTime(t: ExecutionContext, { row, fault, boundMs }: Bound, tookMs: number): void {
  const measured = `${Math.round(tookMs)} ms`;
  recordFinding({ row, fault, test: t.title, bound: `${boundMs / 1000} s`, measured });
  t.true(tookMs < boundMs + SLACK_MS, `${fault}: ${measured}`);
}
