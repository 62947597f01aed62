/**
 * The runner of faults: `npm run test:faults -- --only H1 --seed 7 --times 100`, or `--hours 8` for a soak that picks
 * faults at random. Benches are kept from run to run, one per format and registry, so that daemons carry the scars of
 * all faults before; a bench on which a bound was missed, or a fault left scars that do not heal, is thrown away. One line per run, one per fault at the end.
 */
import { parseArgs } from "node:util";
import { recordFinding } from "../support/findings.js";
import type { OnCleanup } from "../support/process.js";
import { Bench, type BenchOptions } from "./bench.js";
import { Chance } from "./chance.js";
import { allFaults, broken, type Measures, type NamedFault, round } from "./fault.js";

const usage = `npm run test:faults -- [options]
  --list             the faults: name, what happens, bounds
  --only <names>     rows or names, with commas between: H1,w2-reorder; all without
  --seed <n>         of the first run; the following runs take the numbers after it (1)
  --times <n>        runs of each fault (1)
  --hours <n>        instead of --times: faults at random for so long
  --rate <n>         packets a second each way (10000)
  --format <name>    udp or vxlan; both in turn without`;

interface Outcome {
  readonly fault: NamedFault;
  readonly measures: Measures;
  readonly problems: readonly string[];
  readonly packets: number;
}

const { values } = parseArgs({
  options: {
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    seed: { type: "string", default: "1" },
    times: { type: "string", default: "1" },
    hours: { type: "string" },
    rate: { type: "string", default: "10000" },
    format: { type: "string" },
  },
});

const benches = new Map<string, { readonly bench: Bench; readonly end: () => Promise<void> }>();
const outcomes: Outcome[] = [];

/** The faults whose rows or names were asked for. */
async function chosen(): Promise<NamedFault[]> {
  const faults = await allFaults();
  const words = values.only.split(",").filter((word) => word !== "");
  const unknown = words.filter((word) => !faults.some((fault) => matches(fault, word)));
  if (unknown.length > 0) throw new Error(`no such fault: ${unknown.join(", ")}`);
  return words.length === 0 ? faults : faults.filter((fault) => words.some((word) => matches(fault, word)));
}

function matches({ row, name }: NamedFault, word: string): boolean {
  return row.toLowerCase() === word.toLowerCase() || name === word.toLowerCase();
}

function optionsOf(fault: NamedFault, seed: number): BenchOptions {
  const format = values.format ?? (seed % 2 === 0 ? "udp" : "vxlan");
  if (format !== "udp" && format !== "vxlan") throw new Error(`no such format: ${format}`);
  return { format, registry: fault.registry ?? "file", perSecond: Number(values.rate), milliseconds: 1000 };
}

async function benchFor(options: BenchOptions): Promise<Bench> {
  const key = JSON.stringify(options);
  const kept = benches.get(key);
  if (kept !== undefined) return kept.bench;
  const cleanups: Parameters<OnCleanup>[0][] = [];
  const end = async (): Promise<void> => {
    benches.delete(key);
    for (const cleanup of cleanups.reverse()) await cleanup();
  };
  try {
    const bench = await Bench.create((cleanup) => cleanups.push(cleanup), options);
    benches.set(key, { bench, end });
    return bench;
  } catch (error) {
    await end();
    throw error;
  }
}

/** Injects a fault once and says what came of it. */
async function runOnce(fault: NamedFault, seed: number): Promise<void> {
  const options = optionsOf(fault, seed);
  let measures: Measures = {};
  let problems: string[];
  let packets = 0;
  try {
    const bench = await benchFor(options);
    const before = bench.carried;
    await bench.calm(seed);
    measures = await fault.inject(bench, new Chance(seed));
    packets = bench.carried - before;
    problems = broken(fault, measures);
    if (fault.scars !== true) await bench.calm(seed);
  } catch (error) {
    problems = [error instanceof Error ? error.message : String(error)];
  }
  outcomes.push({ fault, measures, problems, packets });
  const words = Object.entries(measures).map(([name, value]) => `${name} ${round(value)}`);
  const verdict = problems.length === 0 ? "held  " : "MISSED";
  const what = `${fault.name} ${options.format} seed ${seed}, ${packets} packets`;
  process.stdout.write(`${verdict} ${what}: ${words.join(", ")}\n`);
  if (problems.length === 0 && fault.scars !== true) return;
  if (problems.length > 0) {
    const accounts = benches.get(JSON.stringify(options))?.bench.lastAccounts ?? [];
    for (const account of accounts) process.stdout.write(`       ${JSON.stringify(account)}\n`);
  }
  for (const problem of problems) process.stdout.write(`       ${problem.replaceAll("\n", "\n       ")}\n`);
  await benches
    .get(JSON.stringify(options))
    ?.end()
    .catch((error: unknown) => process.stdout.write(`       ${String(error)}\n`));
}

/** One line about all runs of a fault, also for docs/faults.md. */
function summarize(fault: NamedFault): void {
  const runs = outcomes.filter((outcome) => outcome.fault === fault);
  if (runs.length === 0) return;
  const held = runs.filter(({ problems }) => problems.length === 0).length;
  const bound = Object.entries(fault.bounds).map(([name, value]) => `${name} ≤ ${value}`);
  const worst = Object.keys(fault.bounds).map((name) => {
    const all = runs.flatMap(({ measures }) => measures[name] ?? []);
    return `${name} ${all.length === 0 ? "–" : round(Math.max(...all))}`;
  });
  const packets = runs.reduce((sum, run) => sum + run.packets, 0);
  const figure = `${held} of ${runs.length} held with ${packets} packets; at worst ${worst.join(", ")}`;
  process.stdout.write(`${fault.row} ${fault.name}: ${figure}\n`);
  recordFinding({
    row: fault.row,
    fault: fault.what,
    test: `npm run test:faults -- --only ${fault.name}`,
    bound: bound.join(", "),
    measured: `${figure}; ${values.rate} packets/s each way`,
  });
}

async function main(): Promise<void> {
  if (values.help) {
    process.stdout.write(`${usage}\n`);
    return;
  }
  const faults = await chosen();
  if (values.list) {
    for (const { name, what, bounds } of faults) {
      process.stdout.write(`${name}: ${what}\n    ${JSON.stringify(bounds)}\n`);
    }
    return;
  }
  let seed = Number(values.seed);
  try {
    if (values.hours === undefined) {
      for (let i = 0; i < Number(values.times); i++, seed++) {
        for (const fault of faults) await runOnce(fault, seed);
      }
    } else {
      const end = performance.now() + Number(values.hours) * 3_600_000;
      for (; performance.now() < end; seed++) {
        const [first, ...others] = faults;
        if (first !== undefined) await runOnce(new Chance(seed).pick([first, ...others]), seed);
      }
    }
  } finally {
    for (const { end } of [...benches.values()]) await end();
  }
  for (const fault of faults) summarize(fault);
  const held = outcomes.filter(({ problems }) => problems.length === 0).length;
  process.stdout.write(`${held} of ${outcomes.length} faults survived\n`);
  process.exitCode = held === outcomes.length && held > 0 ? 0 : 1;
}

await main();
