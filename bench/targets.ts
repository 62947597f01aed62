/** What weft is to reach, line by line: a floor, an aim, and how the value is taken from results. */
import type { Model } from "./bed.js";
import { type Figure, figures, type Results } from "./results.js";
import { KERNEL } from "./subjects.js";

export interface Target {
  readonly title: string;
  readonly floor: number;
  /** Null where the floor is all that is asked for. */
  readonly aim: number | null;
  readonly unit: "×" | " µs" | " ns" | " MB" | " ms" | "";
  readonly higherIsBetter: boolean;
  /** Of one format of weft; null when it was not measured. */
  readonly value: (results: Results, subject: string) => number | null;
}

type Limits = Pick<Target, "floor" | "aim">;

export const targets: readonly Target[] = [
  ratio("TCP ×1, wire", "gbps", "wire", "tcp-1", { floor: 0.85, aim: 1 }),
  ratio("TCP ×4, wire", "gbps", "wire", "tcp-4", { floor: 0.55, aim: 0.75 }),
  ratio("TCP ×1, offload", "gbps", "offload", "tcp-1", { floor: 0.65, aim: 0.8 }),
  ratio("TCP ×4, offload", "gbps", "offload", "tcp-4", { floor: 0.28, aim: 0.4 }),
  ratio("UDP 64 B, 1 flow, wire", "kpps", "wire", "udp-64", { floor: 1, aim: 1.5 }),
  ratio("UDP 64 B, 16 flows, wire", "kpps", "wire", "udp-64-x16", { floor: 0.9, aim: 1.2 }),
  added("request and response, p50 added, processors may sleep", "rr-asleep", "p50", { floor: 12, aim: 8 }),
  added("request and response, p99 added, processors may sleep", "rr-asleep", "p99", { floor: 40, aim: 20 }),
  added("request and response, p50 added, kept awake", "rr", "p50", { floor: 12, aim: 8 }),
  added("request and response, p99 added, kept awake", "rr", "p99", { floor: 40, aim: 20 }),
  {
    ...ratio("CPU seconds per Gbit, TCP ×1, wire", "cpuPerGbit", "wire", "tcp-1", { floor: 1.6, aim: 1.25 }),
    higherIsBetter: false,
  },
  {
    ...{ title: "against one packet per system call, TCP ×1, offload", floor: 12, aim: 20 },
    ...{ unit: "×", higherIsBetter: true },
    value: (results, subject) => {
      const loop = usual(results, "gbps", "offload", "tcp-1", "flannel-loop");
      const own = usual(results, "gbps", "offload", "tcp-1", subject);
      return loop === null || own === null ? null : own.median / loop.median;
    },
  },
  below("ping under TCP ×4, p99, wire", " ms", { floor: 5, aim: null }, (results, subject) => {
    const figure = usual(results, "p99", "wire", "ping", subject);
    return figure === null ? null : figure.median / 1e3;
  }),
  ...[
    ["256", 8],
    ["10k", 12],
    ["100k", 25],
  ].map(([routes, floor]) =>
    below(`lookup among ${routes} routes`, " ns", { floor: Number(floor), aim: null }, ({ nanoseconds }) => {
      return nanoseconds[`fib-${routes}`] ?? null;
    }),
  ),
  below("packets lost while 10 000 routes are replaced", "", { floor: 0, aim: null }, (results, subject) => {
    return usual(results, "churnLost", "wire", "churn", subject)?.max ?? null;
  }),
  below("packets out of order, all UDP workloads", "", { floor: 0, aim: null }, (results, subject) => {
    const found = figures(results, "reordered").filter((figure) => figure.subject === subject);
    return found.length === 0 ? null : Math.max(...found.map(({ max }) => max));
  }),
  below("resident memory, 1 000 peers", " MB", { floor: 90, aim: 70 }, (results, subject) => {
    return usual(results, "residentMb", "wire", "memory", subject)?.median ?? null;
  }),
];

export type Verdict = "aim" | "floor" | "missed";

export function judge({ floor, aim, higherIsBetter }: Target, value: number): Verdict {
  const reaches = (limit: number): boolean => (higherIsBetter ? value >= limit : value <= limit);
  if (!reaches(floor)) return "missed";
  return aim === null || reaches(aim) ? "aim" : "floor";
}

function ratio(title: string, value: string, model: Model, workload: string, limits: Limits): Target {
  return {
    ...{ title, ...limits, unit: "×", higherIsBetter: true },
    value: (results, subject) => usual(results, value, model, workload, subject)?.ratio ?? null,
  };
}

/** What a round trip takes longer than through the kernel's VXLAN device. */
function added(title: string, workload: string, value: "p50" | "p99", limits: Limits): Target {
  return below(title, " µs", limits, (results, subject) => {
    const kernel = usual(results, value, "wire", workload, KERNEL);
    const own = usual(results, value, "wire", workload, subject);
    return kernel === null || own === null ? null : own.median - kernel.median;
  });
}

function below(title: string, unit: Target["unit"], limits: Limits, value: Target["value"]): Target {
  return { title, ...limits, unit, higherIsBetter: false, value };
}

/** The figure on the usual bed: MTU 1500, one peer. */
function usual(
  results: Results,
  value: string,
  model: Model,
  workload: string,
  subject: string,
): Figure | null {
  const found = figures(results, value).find(
    (each) =>
      each.model === model &&
      each.mtu === 1500 &&
      each.peers === 1 &&
      each.workload === workload &&
      each.subject === subject,
  );
  return found ?? null;
}
