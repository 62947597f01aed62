/** What one run of the bench leaves behind (bench/results/*.json), and how it is summed up. */
import type { Model } from "./bed.js";
import type { Environment } from "./environment.js";
import { groups, median } from "./statistics.js";
import type { Values } from "./workloads.js";

export interface Sample {
  readonly model: Model;
  readonly mtu: number;
  readonly workload: string;
  readonly subject: string;
  readonly round: number;
  readonly values: Values;
}

export interface Results {
  readonly date: string;
  readonly environment: Environment;
  readonly samples: readonly Sample[];
}

/** One cell of a table: what a subject reached in all rounds of a workload. */
export interface Figure {
  readonly model: Model;
  readonly mtu: number;
  readonly workload: string;
  readonly subject: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** The median in relation to the kernel VXLAN's; null where that was not measured. */
  readonly ratio: number | null;
}

/** The figures of one metric, in the order in which they were measured. */
export function figures(samples: readonly Sample[], metric: string): Figure[] {
  const place = ({ model, mtu, workload }: Omit<Sample, "subject" | "round" | "values">): string =>
    `${model} ${mtu} ${workload}`;
  const found = groups(
    samples.filter(({ values }) => metric in values),
    (sample) => `${place(sample)} ${sample.subject}`,
  ).map(([{ model, mtu, workload, subject }, group]) => {
    const values = group.map((each) => each.values[metric] ?? NaN);
    const range = { median: median(values), min: Math.min(...values), max: Math.max(...values) };
    return { model, mtu, workload, subject, ...range };
  });
  return found.map((figure) => {
    const kernel = found.find((each) => each.subject === "kernel" && place(each) === place(figure));
    return { ...figure, ratio: kernel === undefined ? null : figure.median / kernel.median };
  });
}
