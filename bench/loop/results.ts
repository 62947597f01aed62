/** What one run of the comparison leaves behind (bench/results/loop-*.json), and the tables made of it. */
import type { Environment } from "../environment.js";
import { groups, median, table } from "../statistics.js";

/** The work alone: packets in memory. */
export interface ComputeSample {
  readonly language: "TypeScript" | "C11";
  readonly bytes: number;
  readonly nanoseconds: number;
}

/** As many packets as go. */
export interface ThroughputSample {
  readonly way: string;
  readonly datagrams: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** Few packets: how long each was on its way, in microseconds. */
export interface DelaySample {
  readonly way: string;
  readonly sent: number;
  readonly received: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface Results {
  readonly date: string;
  readonly environment: Environment;
  /** Inner bytes of the packets of `throughput` and `delay`. */
  readonly bytes: number;
  readonly compute: readonly ComputeSample[];
  readonly throughput: readonly ThroughputSample[];
  readonly delay: readonly DelaySample[];
}

/**
 * The tables as Markdown, the way prettier leaves it. Figures are medians over the rounds, delays the lowest of them:
 * whatever else the machine does can only add to a delay, and what a candidate does to itself it does in every round.
 */
export function markdown(results: Results): string {
  const { kernel, cpu, cores, load, node, commit } = results.environment;
  return [
    `Measured ${results.date} at ${commit}: Linux ${kernel}, ${cpu}, ${cores} cores, Node ${node}; load before ${load.toFixed(1)}.`,
    "Medians of 5 interleaved rounds; of the delays, the lowest.",
    table(["the work alone", "packet", "CPU ns per packet", "packets/s per core"], computeRows(results)),
    table(
      [`with I/O, ${results.bytes} B`, "packets/s", "Gb/s", "CPU µs per packet"],
      throughputRows(results),
    ),
    table(["on the way, 5 000 packets/s", "p50 µs", "p99 µs", "worst µs", "lost"], delayRows(results)),
  ].join("\n\n");
}

function computeRows({ compute }: Results): string[][] {
  return groups(compute, ({ language, bytes }) => `${language} ${bytes}`).map(([first, samples]) => {
    const nanoseconds = median(samples.map((each) => each.nanoseconds));
    return [
      first.language,
      `${first.bytes} B`,
      nanoseconds.toFixed(0),
      `${(1e3 / nanoseconds).toFixed(1)} M`,
    ];
  });
}

function throughputRows({ throughput, bytes }: Results): string[][] {
  return groups(throughput, ({ way }) => way).map(([{ way }, samples]) => {
    const rate = median(samples.map(({ datagrams, seconds }) => datagrams / seconds));
    const cpu = median(samples.map(({ datagrams, cpuSeconds }) => (cpuSeconds * 1e6) / datagrams));
    return [way, `${(rate / 1e3).toFixed(0)} k`, ((rate * bytes * 8) / 1e9).toFixed(2), cpu.toFixed(2)];
  });
}

function delayRows({ delay }: Results): string[][] {
  return groups(delay, ({ way }) => way).map(([{ way }, samples]) => {
    const lowest = (pick: (sample: DelaySample) => number): string =>
      Math.min(...samples.map(pick)).toFixed(0);
    const lost = samples.reduce((sum, { sent, received }) => sum + sent - received, 0);
    return [way, lowest(({ p50 }) => p50), lowest(({ p99 }) => p99), lowest(({ max }) => max), `${lost}`];
  });
}
