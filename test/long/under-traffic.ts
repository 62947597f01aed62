/** What tests of the service under a real systemd have in common: something happens under traffic, and is judged. */
import type { ExecutionContext } from "ava";
import { recordFinding } from "../support/findings.js";
import { type Harm, harmOf, type SystemService } from "../support/system-service.js";

/** What a busy machine may add to a pause. */
const SLACK_MS = Number(process.env["WEFT_SLACK_MS"] ?? 3000);

export interface Row {
  readonly row: string;
  readonly fault: string;
  /** The longest time that may pass without a packet in one direction. */
  readonly pauseMs: number;
  /** How long packets find no way at all, because the device is gone: what is sent then is lost. */
  readonly goneMs?: () => number;
  readonly perSecond?: number;
}

/** What every run of a fault came to until now. */
const runs = new Map<string, Harm[]>();

/** Does something under traffic both ways, records what came of it and holds it to the row's bounds. */
export async function underTraffic(
  t: ExecutionContext,
  service: SystemService,
  row: Row,
  act: () => Promise<void>,
): Promise<void> {
  const harm = harmOf(await service.traffic(act, row.perSecond));
  const { lost, duplicated, corrupt, silenceMs, perMs } = harm;
  const mostLost = Math.round((row.goneMs?.() ?? 0) * perMs);
  t.log(`${row.row} ${row.fault}: ${measured([harm])}`);
  const all = [...(runs.get(row.fault) ?? []), harm];
  runs.set(row.fault, all);
  recordFinding({
    row: row.row,
    fault: `under a real systemd: ${row.fault}`,
    test: `npm run test:long: ${t.title}`,
    bound: `${row.goneMs === undefined ? "0 lost" : "what is sent in between lost"}, 0 duplicated, silent for ${row.pauseMs} ms`,
    measured: measured(all),
  });
  t.true(lost <= mostLost, `${row.fault}: ${lost} lost, and may be ${mostLost}`);
  t.deepEqual({ duplicated, corrupt }, { duplicated: 0, corrupt: 0 }, row.fault);
  t.true(silenceMs <= row.pauseMs + SLACK_MS, `${row.fault}: silent for ${silenceMs} ms`);
}

function measured(all: readonly Harm[]): string {
  const sum = (of: "sent" | "lost" | "duplicated"): number =>
    all.reduce((total, harm) => total + harm[of], 0);
  const silenceMs = Math.max(...all.map((harm) => harm.silenceMs)).toFixed(0);
  const times = all.length === 1 ? "once" : `${all.length} times`;
  return (
    `${times}, of ${sum("sent")} packets ${sum("lost")} lost, ${sum("duplicated")} duplicated, ` +
    `silent for ${silenceMs} ms at most`
  );
}
