/** What is carried: each workload runs once between two ends and says what it measured. */
import { readFileSync } from "node:fs";
import type { Ends } from "./bed.js";
import { ask, Loader, type Stream, transfer } from "./load.js";
import { quantile } from "./statistics.js";

/** By the names of `metrics`. */
export type Values = Readonly<Record<string, number>>;

export interface Workload {
  readonly name: string;
  readonly title: string;
  /** Takes about `seconds`; a search takes some times as long. */
  readonly measure: (ends: Ends, seconds: number) => Promise<Values>;
  /** Of its values, the one that it is about. */
  readonly metric: Metric;
}

export type Metric = keyof typeof metrics;
export const metrics = {
  gbps: { title: "Gb/s", higherIsBetter: true },
  cpuPerGbit: { title: "CPU s per Gbit", higherIsBetter: false },
  kpps: { title: "1000 packets/s", higherIsBetter: true },
  p50: { title: "p50 µs", higherIsBetter: false },
  p99: { title: "p99 µs", higherIsBetter: false },
} as const;

export const workloads: readonly Workload[] = [
  ...[1, 4, 16].map((streams) => ({
    name: `tcp-${streams}`,
    title: `TCP ×${streams}`,
    metric: "gbps" as const,
    measure: (ends: Ends, seconds: number) => measureTcp(ends, streams, seconds),
  })),
  udp("udp-64", "UDP 64 B, 1 flow", { bytes: 64, flows: 1, run: 1 }),
  udp("udp-64-x16", "UDP 64 B, 16 flows", { bytes: 64, flows: 16, run: 1 }),
  udp("udp-64-runs", "UDP 64 B, 1 flow, sent with UDP_SEGMENT", { bytes: 64, flows: 1, run: 64 }),
  udp("udp-512", "UDP 512 B, 1 flow", { bytes: 512, flows: 1, run: 1 }),
  udp("udp-1400", "UDP 1400 B, 1 flow", { bytes: 1400, flows: 1, run: 1 }),
  { name: "rr", title: "UDP 64 B, request and response", metric: "p50", measure: measureRoundTrips },
  { name: "ping", title: "ping under TCP ×4", metric: "p99", measure: measurePing },
];

const PROBE_SHARE = 0.25;
const PING_INTERVAL_MS = 2;

function udp(name: string, title: string, stream: Stream): Workload {
  return {
    name,
    title,
    metric: "kpps",
    measure: async (ends, seconds) => {
      const loader = await Loader.create(ends);
      const {
        received,
        seconds: took,
        ...rest
      } = await loader.lossFreeRate(stream, seconds * 1e3 * PROBE_SHARE);
      await loader.stop();
      return { kpps: received / took / 1e3, reordered: rest.reordered, overflows: rest.overflows };
    },
  };
}

async function measureTcp(ends: Ends, streams: number, seconds: number): Promise<Values> {
  const before = cpuSeconds();
  const { bytes, seconds: took, retransmits } = await transfer(ends, streams, seconds * 1e3);
  const gbit = (bytes * 8) / 1e9;
  return { gbps: gbit / took, cpuPerGbit: (cpuSeconds() - before) / gbit, retransmits };
}

async function measureRoundTrips(ends: Ends, seconds: number): Promise<Values> {
  const { p50, p99, lost } = await ask(ends, 64, (seconds * 1e3) / 2);
  return { p50, p99, lost };
}

/** Echoes while the way is full of TCP: how long a queue may get. */
async function measurePing(ends: Ends, seconds: number): Promise<Values> {
  const count = Math.round((seconds * 800) / PING_INTERVAL_MS);
  const load = transfer(ends, 4, seconds * 1e3);
  const args = ["-n", "-i", `${PING_INTERVAL_MS / 1e3}`, "-c", `${count}`, "-W", "1", ends.address];
  const { stdout } = await ends.client.tryRun("ping", args);
  await load;
  const times = [...stdout.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms) * 1e3);
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99), lost: count - times.length };
}

/** What all processors have worked since the machine started, from /proc/stat (proc(5)), in seconds. */
function cpuSeconds(): number {
  const ticks =
    readFileSync("/proc/stat", "utf8").split("\n", 1)[0]?.split(/\s+/).slice(1, 9).map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks;
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

/** USER_HZ, the same on every architecture that Node supports. */
const TICKS_PER_SECOND = 100;
