/** What one run of the bench leaves behind (bench/results/*.json), and how it is summed up. */
import type { Model, Setting } from "./bed.js";
import type { Environment } from "./environment.js";
import { median } from "./statistics.js";
import { KERNEL } from "./subjects.js";

/** What a subject did with a workload: for each value, one sample per round. */
export interface Series extends Setting {
  readonly workload: string;
  readonly subject: string;
  readonly values: Readonly<Record<string, readonly number[]>>;
}

export interface Results {
  readonly date: string;
  readonly environment: Environment;
  /** What the cable's ends do by themselves, as ethtool names it. */
  readonly features: Readonly<Partial<Record<Model, readonly string[]>>>;
  /** What weft used of what its kernel offers, as `weft status` names it. */
  readonly offloads: readonly string[];
  /** Flags that every weftd had. */
  readonly weftd: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  /** What the pieces of native/core cost: nanoseconds, as native/bench/micro.c names them. */
  readonly nanoseconds: Readonly<Record<string, number>>;
  readonly series: readonly Series[];
}

/** All rounds of one value as one. */
export interface Figure extends Setting {
  readonly workload: string;
  readonly subject: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** The median in relation to the kernel VXLAN's; null where that was not measured. */
  readonly ratio: number | null;
}

/** The figures of one value, in the order in which they were measured. */
export function figures({ series }: Pick<Results, "series">, value: string): Figure[] {
  const found = series.flatMap(({ values, ...where }) => {
    const samples = values[value] ?? [];
    if (samples.length === 0) return [];
    return [{ ...where, median: median(samples), min: Math.min(...samples), max: Math.max(...samples) }];
  });
  return found.map((figure) => {
    const kernel = found.find((each) => each.subject === KERNEL && samePlace(each, figure));
    return { ...figure, ratio: kernel === undefined ? null : figure.median / kernel.median };
  });
}

/** Where and with what something was measured, whatever the subject. */
export type Place = Setting & Pick<Series, "workload">;

export function samePlace(a: Place, b: Place): boolean {
  return a.model === b.model && a.mtu === b.mtu && a.peers === b.peers && a.workload === b.workload;
}
