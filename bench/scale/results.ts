/** What one run of `npm run bench:scale` leaves behind (bench/results/scale-*.json), and the table made of it. */
import type { Environment } from "../environment.js";
import { quantile } from "../statistics.js";
import { type Format, FORMATS, type Memory } from "./network.js";

export interface Start {
  readonly leases: number;
  readonly processMs: number;
  readonly listMs: number;
}

export interface Crowd {
  readonly nodes: number;
  readonly subnets: number;
  readonly seconds: number;
  readonly conflicts: number;
  readonly requests: number;
}

export interface Growth {
  readonly seconds: number;
  readonly perSecond: number;
  readonly samples: readonly (Memory & { readonly second: number })[];
}

export interface Results {
  readonly date: string;
  readonly environment: Environment;
  readonly start: Start;
  /** With no lease but the own one and one peer's, and with all. */
  readonly memory: { readonly [format in Format]: { readonly few: Memory; readonly many: Memory } };
  /** Milliseconds of each change. */
  readonly idle: readonly number[];
  readonly loaded: readonly number[];
  readonly burst: {
    readonly changes: number;
    readonly allMs: number;
    readonly restMs: number;
    readonly tables: number;
  };
  readonly crowd: Crowd;
  /** Null in a run that left it out. */
  readonly growth: Growth | null;
}

interface Row {
  readonly what: string;
  readonly bound: string;
  readonly measured: string;
  readonly holds: boolean;
}

/** The least of some samples may be so much more than the least of others. */
const GROWTH_SHARE = 0.05;

export function rows(results: Results): Row[] {
  const { start, memory, idle, loaded, burst, crowd, growth } = results;
  const asked = crowd.requests - 2 * crowd.conflicts;
  const changed = (what: string, samples: readonly number[]): Row => {
    const [p50, p99] = [quantile(samples, 0.5), quantile(samples, 0.99)];
    return {
      what: `one change among ${start.leases} leases, from etcd's commit to the workers' table, ${what}`,
      bound: "p50 20 ms, p99 100 ms",
      measured: `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms of ${samples.length}`,
      holds: p50 <= 20 && p99 <= 100,
    };
  };
  return [
    {
      what: `${start.leases} leases to a complete table, from etcd's first answer`,
      bound: "1 s",
      measured: `${Math.round(start.listMs)} ms; ${Math.round(start.processMs)} ms from the start of the process to ready`,
      holds: start.listMs <= 1000,
    },
    changed("idle", idle),
    changed("while a peer sends as much as it can", loaded),
    {
      what: `a burst of ${burst.changes} changes, from the first commit to the table with the last`,
      bound: "2 s",
      measured: `${Math.round(burst.allMs)} ms, ${Math.round(burst.restMs)} ms after the last; ${burst.tables} tables`,
      holds: burst.allMs <= 2000,
    },
    ...FORMATS.map((format): Row => {
      const { few, many } = memory[format];
      const perLease = (kind: keyof Memory): number => Math.round((many[kind] - few[kind]) / start.leases);
      return {
        what: `memory for each ${format} lease, without garbage`,
        bound: "2 KB",
        measured: `${perLease("live")} B; resident ${perLease("resident")} B`,
        holds: perLease("live") <= 2048,
      };
    }),
    {
      what: `${crowd.nodes} nodes that start at once, control part, in one process`,
      bound: `${crowd.nodes} subnets, 60 s`,
      measured: `${crowd.subnets} subnets, ${crowd.seconds.toFixed(1)} s`,
      holds: crowd.subnets === crowd.nodes && crowd.seconds <= 60,
    },
    {
      what: "requests to etcd for each start, less 2 for each conflict",
      bound: "6",
      measured: `${(asked / crowd.nodes).toFixed(2)}; ${crowd.conflicts} conflicts`,
      holds: asked / crowd.nodes <= 6,
    },
    ...(growth === null ? [] : [growthRow(growth)]),
  ];
}

/** A tenth of the time is left for caches to fill. Each sample has what is under way: the least of them tells. */
function growthRow({ seconds, perSecond, samples }: Growth): Row {
  const settled = samples.filter(({ second }) => second > seconds / 10);
  const half = Math.floor(settled.length / 2);
  const least = (some: readonly Memory[]): number => Math.min(...some.map(({ live }) => live)) / 1e6;
  const [first, last] = [least(settled.slice(0, half)), least(settled.slice(half))];
  return {
    what: `live memory over ${Math.round(seconds / 60)} min of ${Math.round(perSecond)} changes a second`,
    bound: "no growth",
    measured: `${first.toFixed(1)} MB in the first half, ${last.toFixed(1)} MB in the second`,
    holds: last <= first * (1 + GROWTH_SHARE),
  };
}

/** Names of what does not hold. */
export function broken(results: Results): string[] {
  return rows(results).flatMap(({ what, bound, measured, holds }) =>
    holds ? [] : [`${what}: ${measured}, not ${bound}`],
  );
}

/** As prettier leaves it. */
export function markdown(results: Results): string {
  const { kernel, cpu, cores, load, node, commit } = results.environment;
  const lines = rows(results).map(({ what, bound, measured, holds }) => {
    return `- ${what}: **${measured}** (bound: ${bound}${holds ? "" : ", not held"})`;
  });
  return [
    `Measured ${results.date} at ${commit}: Linux ${kernel}, ${cpu}, ${cores} cores, Node ${node}; load before ${load.toFixed(1)}.`,
    lines.join("\n"),
  ].join("\n\n");
}
