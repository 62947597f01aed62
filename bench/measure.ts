/**
 * Carries a plan out.
 *
 *     part → a bed per subject → workload → round → subject: one sample
 *
 * Rounds are interleaved, so that what else the machine does meets all subjects. Everything happens in namespaces of
 * this run's own, every load is bounded in time, and the run ends by itself.
 */
import { cpus } from "node:os";
import { join } from "node:path";
import { type OnCleanup, run } from "../test/support/process.js";
import { Bed, type Ends, type Model, type Setting } from "./bed.js";
import { processorSeconds, readEnvironment, root } from "./environment.js";
import type { Part, Plan } from "./plan.js";
import type { Progress } from "./progress.js";
import type { Results, Series } from "./results.js";
import type { Subject } from "./subjects.js";
import type { Workload } from "./workloads.js";

type Sample = Record<string, number> & { readonly stolen: number };

/** From so many percent on, a sample of speed is taken again; so often at most. */
export const MUCH_STOLEN = 5;
export const MOST_TRIES = 3;

interface OpenSeries extends Series {
  readonly values: Record<string, number[]>;
}

export async function measure(plan: Plan, progress: Progress): Promise<Results> {
  const environment = await readEnvironment();
  const nanoseconds: Record<string, number> = {};
  const features: Partial<Record<Model, readonly string[]>> = {};
  let offloads: readonly string[] = [];
  const series: Series[] = [];
  progress.expect(countSamples(plan));
  for (const part of plan.parts) {
    await timePieces(nanoseconds);
    await withCleanup(async (onCleanup) => {
      const beds = await startBeds(part, plan.weftd, progress, onCleanup);
      for (const { bed, ends } of beds.values()) {
        features[part.setting.model] ??= await bed.features();
        const [daemon] = ends.weft?.daemons ?? [];
        if (daemon !== undefined) ({ offloads } = await daemon.ask("/status"));
      }
      for (const each of await measurePart(part, beds, plan, progress)) series.push(each);
    });
  }
  progress.end();
  const { rounds, seconds, weftd } = plan;
  const date = new Date().toISOString().slice(0, 10);
  return { date, environment, features, offloads, weftd, rounds, seconds, nanoseconds, series };
}

/** Measures what the pieces of native/core cost; of each the best of all times counts, as within the program. */
async function timePieces(best: Record<string, number>): Promise<void> {
  const now = JSON.parse(await run(join(root, "native/out/micro"), [])) as Record<string, number>;
  for (const [name, cost] of Object.entries(now)) best[name] = Math.min(best[name] ?? Infinity, cost);
}

interface Started {
  readonly bed: Bed;
  readonly ends: Ends;
}

async function startBeds(
  { setting, rows }: Part,
  weftd: readonly string[],
  progress: Progress,
  onCleanup: OnCleanup,
): Promise<Map<Subject, Started>> {
  const beds = new Map<Subject, Started>();
  for (const subject of new Set(rows.flatMap((row) => row.subjects))) {
    const missing = (await subject.missing?.()) ?? null;
    if (missing !== null) {
      progress.note(`${subject.name} is left out: ${missing}`);
      continue;
    }
    progress.say(`${describe(setting)}: starting ${subject.name}`);
    const bed = await Bed.create(setting, onCleanup);
    const ends = await subject.start(bed, weftd);
    if (setting.model === "wire") await bed.mustCarryNothingLong(ends);
    beds.set(subject, { bed, ends });
  }
  return beds;
}

async function measurePart(
  { setting, rows }: Part,
  beds: ReadonlyMap<Subject, Started>,
  { rounds, seconds }: Plan,
  progress: Progress,
): Promise<Series[]> {
  const found: OpenSeries[] = [];
  for (const { workload, subjects } of rows) {
    const row = subjects.map((subject) => {
      const series: OpenSeries = { ...setting, workload: workload.name, subject: subject.name, values: {} };
      return { series, started: beds.get(subject) };
    });
    const last = roundsOf(workload, rounds);
    for (let round = 1; round <= last; round++) {
      for (const { series, started } of row) {
        progress.step(
          `${describe(setting)}, ${workload.title}, round ${round} of ${last}: ${series.subject}`,
        );
        if (started === undefined) continue;
        const values = await sampleOf(workload, started.ends, seconds);
        for (const [name, value] of Object.entries(values)) (series.values[name] ??= []).push(rounded(value));
      }
    }
    for (const { series, started } of row) if (started !== undefined) found.push(series);
  }
  return found;
}

/**
 * A sample, with `stolen` beside it: how much of the processors' time was the hypervisor's meanwhile, in percent. One of
 * speed alone is taken again when that is much, and the least disturbed one counts, whatever it says.
 */
async function sampleOf({ measure, isSpeed }: Workload, ends: Ends, seconds: number): Promise<Sample> {
  let best: Sample = { stolen: Infinity };
  for (let tries = 0; tries < (isSpeed ? MOST_TRIES : 1) && best.stolen > MUCH_STOLEN; tries++) {
    const [began, before] = [performance.now(), processorSeconds().stolen];
    const values = await measure(ends, seconds);
    const passed = (performance.now() - began) / 1e3;
    const stolen = ((processorSeconds().stolen - before) / passed / cpus().length) * 100;
    if (stolen < best.stolen) best = { ...values, stolen };
  }
  return best;
}

/** Four digits are more than a measurement is good for. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

function roundsOf({ mostRounds }: Workload, rounds: number): number {
  return Math.min(rounds, mostRounds ?? rounds);
}

function countSamples({ parts, rounds }: Plan): number {
  return parts
    .flatMap(({ rows }) => rows)
    .reduce((sum, { workload, subjects }) => sum + roundsOf(workload, rounds) * subjects.length, 0);
}

/** As headings name it: "wire", and what is not as usual. */
export function describe({ model, mtu, peers }: Setting): string {
  return [model, ...(mtu === 1500 ? [] : [`MTU ${mtu}`]), ...(peers === 1 ? [] : [`${peers} peers`])].join(
    ", ",
  );
}

/** Calls `use` with a place to register clean-ups, which are done when it is through. */
async function withCleanup(use: (onCleanup: OnCleanup) => Promise<void>): Promise<void> {
  const cleanups: Parameters<OnCleanup>[0][] = [];
  try {
    await use((cleanup) => cleanups.push(cleanup));
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}
