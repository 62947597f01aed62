/**
 * Measures ways to carry packets between pods side by side: `npm run bench`, as root.
 *
 *     model → a bed per subject → workload → round → subject: one sample
 *
 * Rounds are interleaved, so that what else the machine does meets all subjects. Everything happens in namespaces of
 * this run's own, every load is bounded in time, and the run ends by itself.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { OnCleanup } from "../test/support/process.js";
import { Bed, type Ends, type Model } from "./bed.js";
import { readEnvironment, root } from "./environment.js";
import { parseArguments, type Plan } from "./plan.js";
import { Progress } from "./progress.js";
import { figures, type Results, type Sample } from "./results.js";
import { table } from "./statistics.js";
import type { Subject } from "./subjects.js";
import { type Metric, metrics, workloads } from "./workloads.js";

const MTU = 1500;

/** Calls `use` with a place to register clean-ups, which are done when it is through. */
async function withCleanup(use: (onCleanup: OnCleanup) => Promise<void>): Promise<void> {
  const cleanups: Parameters<OnCleanup>[0][] = [];
  try {
    await use((cleanup) => cleanups.push(cleanup));
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}

async function start(model: Model, subject: Subject, plan: Plan, onCleanup: OnCleanup): Promise<Ends> {
  const bed = await Bed.create({ model, mtu: MTU }, onCleanup);
  const ends = await subject.start(bed, { weftd: plan.weftd });
  if (model === "wire") await bed.mustCarryNothingLong(ends);
  return ends;
}

async function measure(plan: Plan): Promise<Results> {
  const environment = await readEnvironment();
  const samples: Sample[] = [];
  const progress = new Progress(
    plan.models.length * plan.workloads.length * plan.rounds * plan.subjects.length,
  );
  for (const model of plan.models) {
    await withCleanup(async (onCleanup) => {
      const beds: { readonly subject: Subject; readonly ends: Ends }[] = [];
      for (const subject of plan.subjects) {
        progress.say(`${model}: starting ${subject.name}`);
        beds.push({ subject, ends: await start(model, subject, plan, onCleanup) });
      }
      for (const workload of plan.workloads) {
        for (let round = 1; round <= plan.rounds; round++) {
          for (const { subject, ends } of beds) {
            progress.step(`${model}, ${workload.title}, round ${round} of ${plan.rounds}: ${subject.name}`);
            const values = await workload.measure(ends, plan.seconds);
            samples.push({ model, mtu: MTU, workload: workload.name, subject: subject.name, round, values });
          }
        }
      }
    });
  }
  progress.end();
  return { date: new Date().toISOString().slice(0, 10), environment, samples };
}

/** One line per subject, model and workload, for a terminal. */
function summary({ samples }: Results): string {
  const parts: string[] = [];
  for (const metric of Object.keys(metrics) as Metric[]) {
    const rows = figures(samples, metric).map((figure) => [
      `${figure.model}, ${workloads.find(({ name }) => name === figure.workload)?.title ?? figure.workload}`,
      figure.subject,
      ...[figure.median, figure.min, figure.max].map((value) => value.toPrecision(3)),
      figure.ratio === null ? "" : figure.ratio.toFixed(2),
    ]);
    if (rows.length > 0) {
      parts.push(table([metrics[metric].title, "subject", "median", "min", "max", "to kernel"], rows));
    }
  }
  return parts.join("\n\n");
}

const plan = await parseArguments(process.argv.slice(2));
const results = await measure(plan);
const file = join(root, plan.output);
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, `${JSON.stringify(results)}\n`);
console.log(`${summary(results)}\n\nsamples: ${file}`);
