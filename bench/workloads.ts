/** What is carried: each workload runs once between two ends and says what it measured. */
import type { Ends } from "./bed.js";
import { measureChurn, measureMemory } from "./churn.js";
import { processorSeconds } from "./environment.js";
import { ask, keepAwake, Loader, type Stream, transfer } from "./load.js";
import { quantile } from "./statistics.js";

/** By name; those in `metrics` are for tables, the others say how much the rest is worth. */
export type Values = Readonly<Record<string, number>>;

export interface Workload {
  readonly name: string;
  readonly title: string;
  /** Takes about `seconds`, or some times as long. */
  readonly measure: (ends: Ends, seconds: number) => Promise<Values>;
  /** For one that takes long, or differs little from time to time. */
  readonly mostRounds?: number;
  /** It tells nothing of loss and order, so that a sample may be left out. */
  readonly isSpeed?: boolean;
}

export const metrics = {
  gbps: { title: "Gb/s", higherIsBetter: true },
  cpuPerGbit: { title: "CPU seconds per Gbit", higherIsBetter: false },
  kpps: { title: "1000 packets/s", higherIsBetter: true },
  p50: { title: "p50 µs", higherIsBetter: false },
  p99: { title: "p99 µs", higherIsBetter: false },
  churnLost: { title: "packets lost", higherIsBetter: false },
  residentMb: { title: "resident MB", higherIsBetter: false },
} as const;
export type Metric = keyof typeof metrics;

export const workloads: readonly Workload[] = [
  ...[1, 4, 16].map((streams) => tcp(`tcp-${streams}`, `TCP ×${streams}`, streams)),
  udp("udp-64", "UDP 64 B, 1 flow", { bytes: 64, flows: 1, run: 1 }),
  udp("udp-64-x16", "UDP 64 B, 16 flows", { bytes: 64, flows: 16, run: 1 }),
  udp("udp-64-peers", "UDP 64 B, a flow to each of 64 peers", { bytes: 64, flows: 64, run: 1 }),
  udp("udp-64-runs", "UDP 64 B, 1 flow, 64 at once (UDP_SEGMENT)", { bytes: 64, flows: 1, run: 64 }),
  udp("udp-512", "UDP 512 B, 1 flow", { bytes: 512, flows: 1, run: 1 }),
  udp("udp-1400", "UDP 1400 B, 1 flow", { bytes: 1400, flows: 1, run: 1 }),
  {
    name: "rr",
    title: "request and response, UDP 64 B",
    measure: (ends, seconds) => keepAwake(ends, seconds * 1e3, () => measureRoundTrips(ends, seconds)),
  },
  {
    name: "rr-asleep",
    title: "request and response, UDP 64 B, processors may sleep",
    measure: measureRoundTrips,
  },
  { name: "ping", title: "ping under TCP ×4", measure: measurePing },
  // Before the daemon has had ten times as many.
  { name: "memory", title: "one weftd with 1 000 peers", measure: measureMemory, mostRounds: 2 },
  { name: "churn", title: "10 000 routes replaced under traffic", measure: measureChurn, mostRounds: 2 },
];

/** Of a sample's time, what one try of a search takes. */
const TRY_SHARE = 0.25;
const ROUND_TRIPS_SHARE = 0.5;
const PING_SHARE = 0.8;
const PING_INTERVAL_MS = 2;

function tcp(name: string, title: string, streams: number): Workload {
  return {
    name,
    title,
    isSpeed: true,
    measure: async (ends, seconds) => {
      const before = processorSeconds().worked;
      const { bytes, seconds: took, retransmits } = await transfer(ends, streams, seconds * 1e3);
      const gbit = (bytes * 8) / 1e9;
      return { gbps: gbit / took, cpuPerGbit: (processorSeconds().worked - before) / gbit, retransmits };
    },
  };
}

function udp(name: string, title: string, stream: Stream): Workload {
  return {
    name,
    title,
    measure: async (ends, seconds) => {
      const loader = await Loader.create(ends);
      const best = await loader.lossFreeRate(stream, seconds * 1e3 * TRY_SHARE);
      await loader.stop();
      return { kpps: best.delivered / 1e3, reordered: best.reordered, overflows: best.overflows };
    },
  };
}

async function measureRoundTrips(ends: Ends, seconds: number): Promise<Values> {
  const { p50, p99, lost } = await ask(ends, 64, seconds * 1e3 * ROUND_TRIPS_SHARE);
  return { p50, p99, lost };
}

/** Echoes while the way is full of TCP: how long a queue may get. */
async function measurePing(ends: Ends, seconds: number): Promise<Values> {
  const count = Math.round((seconds * 1e3 * PING_SHARE) / PING_INTERVAL_MS);
  const load = transfer(ends, 4, seconds * 1e3);
  const args = ["-n", "-i", `${PING_INTERVAL_MS / 1e3}`, "-c", `${count}`, "-W", "1", ends.addresses[0]];
  const { stdout } = await ends.client.tryRun("ping", args);
  await load;
  const times = [...stdout.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms) * 1e3);
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99), lost: count - times.length };
}
