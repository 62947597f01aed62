/**
 * The hunt for differences between model and core: scenario after scenario until enough packets went through both.
 * It keeps count of what it has seen, because a test that never meets a case says nothing about it.
 */
import fc from "fast-check";
import type { Format } from "../support/model/tx.js";
import { compare, type Comparison } from "./compare.js";
import type { Core } from "./core.js";
import type { Scenario } from "./steps.js";

export interface Hunt {
  readonly packets: number;
  /** Sums over all scenarios, by name, as `weft counters` has them. */
  readonly counters: ReadonlyMap<string, number>;
  /** The shortest scenario found in which both differ, in words; null when there is none. */
  readonly difference: string | null;
}

/** Scenarios per call of fast-check; each batch has a seed of its own, so that a batch can be run again alone. */
const BATCH = 50;

export async function hunt(
  start: () => Promise<Core>,
  scenarios: fc.Arbitrary<Scenario>,
  packets: number,
  seed: number,
  { shrink }: { readonly shrink: boolean } = { shrink: true },
): Promise<Hunt> {
  const counters = new Map<string, number>();
  const seen = (): number => (counters.get("tx packets") ?? 0) + (counters.get("rx packets") ?? 0);
  let core = await start();
  const run = async (scenario: Scenario): Promise<Comparison> => {
    // A core that fell over the scenario before has told so; the search for a shorter one goes on with another.
    if (core.ended !== null) core = await start();
    return compare(core, scenario);
  };
  for (let batch = seed; seen() < packets; batch++) {
    const property = fc.asyncProperty(scenarios, async (scenario) => {
      const result = await run(scenario);
      if (result.difference !== null) throw new Error(result.difference);
      for (const [name, n] of result.counters) counters.set(name, (counters.get(name) ?? 0) + n);
    });
    // The search for the shortest scenario is worth a minute.
    const bounds = { numRuns: BATCH, endOnFailure: !shrink, interruptAfterTimeLimit: 60_000 };
    const result = await fc.check(property, { seed: batch, ...bounds });
    if (result.failed) {
      const [scenario] = result.counterexample ?? [];
      const last = scenario === undefined ? "" : (await run(scenario)).difference;
      return { packets: seen(), counters, difference: `seed ${batch}\n${last ?? ""}` };
    }
  }
  return { packets: seen(), counters, difference: null };
}

/** What share of the packets was let through. */
export function accepted({ counters, packets }: Hunt): number {
  const through = ["tx forwarded", "rx forwarded", "rx consumed"].map((name) => counters.get(name) ?? 0);
  return through.reduce((sum, n) => sum + n, 0) / packets;
}

/** Every drop that can happen without a device or a socket, as counters are named. */
export function possibleDrops(format: Format): string[] {
  const both = [
    "runt",
    "bad_header",
    "bad_checksum",
    "source_route",
    "martian",
    "bcast_mcast",
    "spoofed",
    "nested",
  ];
  both.push("ttl", "not_ready");
  const tx = [...both, "no_route", "own_subnet", "bad_offload", "too_big"];
  const rx = [...both, "unknown_peer", "ethertype", "not_local", "ecn"];
  if (format === "udp") tx.push("family");
  else rx.push("bad_vxlan", "bad_vni", "bad_mac", "neighbour");
  return [...tx.map((name) => `tx drop ${name}`), ...rx.map((name) => `rx drop ${name}`)];
}
