/** What is measured of a daemon with many leases; each function is one row or two of docs/scale.md. */
import { setTimeout as delay } from "node:timers/promises";
import { startTogether } from "../../test/support/crowd.js";
import { startEtcd } from "../../test/support/etcd.js";
import { PREFIX } from "../../test/support/etcd-nodes.js";
import { type OnCleanup, until } from "../../test/support/process.js";
import type { Weftd } from "../../test/support/weftd.js";
import { changesOf, type Format, type Memory, ScaleNetwork } from "./network.js";
import type { Crowd, Growth, Start } from "./results.js";

const SAMPLES = 4;
const GROWTH_SAMPLES = 40;

/** Runs with cleanups of its own, done when it ends. */
export async function withCleanups<T>(task: (onCleanup: OnCleanup) => Promise<T>): Promise<T> {
  const cleanups: Parameters<OnCleanup>[0][] = [];
  try {
    return await task((cleanup) => cleanups.push(cleanup));
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}

/** From the start of the process, and from etcd's first answer, to the table with all leases. */
export async function measureStart(network: ScaleNetwork, leases: number): Promise<[Weftd, Start]> {
  const { weftd, startMs } = await network.startDaemon();
  const at = (msg: string): number => {
    const line = weftd.program.stdout.find((each) => each.includes(`"msg":"${msg}"`)) ?? "{}";
    return Date.parse((JSON.parse(line) as { readonly time?: string }).time ?? "");
  };
  await weftd.peers(leases);
  return [weftd, { leases, processMs: startMs, listMs: at("peers changed") - at("etcd answers") }];
}

/** What daemons have in memory with one lease beside their own, and with many. */
export async function measureMemory(
  format: Format,
  leases: number,
): Promise<{ readonly few: Memory; readonly many: Memory }> {
  const measure = (count: number): Promise<Memory> =>
    withCleanups(async (onCleanup) => {
      const network = await ScaleNetwork.start(onCleanup, count, format);
      const { weftd } = await network.startDaemon();
      await weftd.peers(count);
      // The least of some: files are written after a start, and what for is let go then.
      let least = await network.memory(weftd);
      for (let n = 0; n < SAMPLES; n++) {
        await delay(1000);
        const memory = await network.memory(weftd);
        if (memory.live < least.live) least = memory;
      }
      return least;
    });
  return { few: await measure(1), many: await measure(leases) };
}

/** One change after another: from etcd's answer to the writer until the workers have the new table, in ms. */
export async function measureChanges(
  network: ScaleNetwork,
  weftd: Weftd,
  count: number,
  version: number,
): Promise<number[]> {
  const took: number[] = [];
  for (let n = 0; n < count; n++) {
    const known = weftd.program.stdout.length;
    const committed = await network.net.etcd.putAll([network.lease(2 + n, version)]);
    const changed = await until("the change", () => changesOf(weftd, known)[0] ?? null);
    took.push(Math.max(0, changed - committed));
    // Between two changes the daemon is idle: it gathers those of 50 ms.
    await delay(60 + Math.random() * 60);
  }
  return took;
}

/** Changes as fast as etcd takes them: from the first one to the table with the last, and from the last one, in ms. */
export async function measureBurst(
  network: ScaleNetwork,
  weftd: Weftd,
  changes: number,
  leases: number,
): Promise<{ readonly allMs: number; readonly restMs: number; readonly tables: number }> {
  const known = weftd.program.stdout.length;
  const version = 3;
  const wanted = network.lease(leases, version)[1];
  const address = (JSON.parse(wanted) as { readonly PublicIP: string }).PublicIP;
  const begin = performance.timeOrigin + performance.now();
  const committed = await network.net.etcd.putAll(
    Array.from({ length: changes }, (_, index) =>
      network.lease(leases - ((changes - 1 - index) % leases), version),
    ),
  );
  await until("the last change", async () =>
    (await weftd.ask("/routes")).some(({ via }) => via === address) ? true : null,
  );
  const tables = changesOf(weftd, known);
  const last = tables.at(-1) ?? NaN;
  return { allMs: last - begin, restMs: last - committed, tables: tables.length };
}

/** A thousand changes a second for some time, and the memory meanwhile. */
export async function measureGrowth(network: ScaleNetwork, weftd: Weftd, seconds: number): Promise<Growth> {
  const samples: (Memory & { readonly second: number })[] = [];
  const begin = performance.now();
  let changes = 0;
  for (let tick = 0; performance.now() - begin < seconds * 1000; tick++) {
    const puts = Array.from({ length: 100 }, (_, n) =>
      network.lease(2 + ((tick * 100 + n) % 1000), 1 + (tick % 90)),
    );
    // On a busy machine etcd does not always manage in its time: those changes are left out, and not counted.
    await network.net.etcd.putAll(puts, 10).then(
      () => (changes += puts.length),
      () => undefined,
    );
    const second = (performance.now() - begin) / 1000;
    if (second >= (samples.length + 1) * (seconds / GROWTH_SAMPLES)) {
      samples.push({ second: Math.round(second), ...(await network.memory(weftd)) });
    }
    await delay(Math.max(0, begin + (tick + 1) * 100 - performance.now()));
  }
  return { seconds, perSecond: changes / seconds, samples };
}

/** Nodes that start at once: their control part, in one process. */
export function measureCrowd(nodes: number): Promise<Crowd> {
  return withCleanups(async (onCleanup) => {
    const etcd = await startEtcd(onCleanup);
    await etcd.put(`${PREFIX}/config`, '{"Network":"10.0.0.0/12"}');
    const { leases, seconds, requests, conflicts } = await startTogether(onCleanup, etcd, nodes);
    const subnets = new Set(leases.map(({ key }) => key)).size;
    const asked = Object.values(requests).reduce((sum, count) => sum + count, 0);
    return { nodes, subnets, seconds, conflicts, requests: asked };
  });
}
