/**
 * A random schedule of faults and writes against a real etcd, checked by a model (registry-model.ts). One node, whose
 * wire to etcd is cut, muted, delayed and throttled, while others' leases come, go, move and turn bad, etcd restarts,
 * compacts and comes back from backups. After each round all faults are healed, and the node must be right within the
 * bound.
 *
 *     registry ── proxy (faults) ── etcd ◄── writes
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pino } from "pino";
import { EtcdRegistry } from "../../src/etcd/registry.js";
import { type Etcd, startEtcd } from "../support/etcd.js";
import { forever, options, PREFIX, request } from "../support/etcd-nodes.js";
import { type OnCleanup, temporaryDirectory, until } from "../support/process.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { Chance } from "./chance.js";
import { RegistryModel } from "./registry-model.js";

const HOLD_MS = 500;
/** A black hole is found after 9 s, and the pause between two tries is up to 3 s. */
export const BOUND_MS = 15_000 + HOLD_MS;

export interface Schedule {
  readonly seed: number;
  readonly minutes: number;
  readonly log: (line: string) => void;
}

export interface Outcome {
  readonly rounds: number;
  readonly writes: number;
  /** From the heal of the last fault to the right routes, the longest. */
  readonly slowestMs: number;
  readonly problems: readonly string[];
}

interface Scene {
  readonly chance: Chance;
  readonly model: RegistryModel;
  readonly etcd: Etcd;
  readonly wire: TcpProxy;
  readonly file: string;
  backup: ReadonlyMap<string, string> | null;
  writes: number;
}

type Step = (scene: Scene) => Promise<void> | void;

const subnetKey = (name: string): string => `${PREFIX}/subnets/${name}`;

/** Some leases change; rarely all of them go at once. */
async function write(scene: Scene): Promise<void> {
  const { chance, model, etcd } = scene;
  const changes = new Map<string, string | null>();
  for (let n = Math.floor(chance.between(1, 8)); n > 0; n--) {
    const name = `10.5.${100 + Math.floor(chance.between(0, 12))}.0-24`;
    changes.set(name, chance.next() < 0.3 ? null : `10.99.1.${Math.floor(chance.between(1, 250))}`);
  }
  if (chance.next() < 0.1) for (const name of model.keys) changes.set(name, null);
  for (const [name, address] of changes) {
    if (address === null) model.delete(name);
    else model.put(name, address);
  }
  await etcd.putAll(
    [...changes].map(([name, address]) => [
      subnetKey(name),
      address === null ? null : JSON.stringify({ PublicIP: address, PublicIPv6: null }),
    ]),
  );
  scene.writes += changes.size;
}

const faults: Readonly<Record<string, Step>> = {
  cut: ({ wire }) => wire.cut(),
  "black hole": ({ wire }) => wire.mute(),
  "half open": ({ wire, chance }) => wire.mute(chance.pick(["up", "down"])),
  delay: ({ wire, chance }) => wire.delay(chance.between(50, 3000)),
  throttle: ({ wire, chance }) => wire.throttle(chance.between(50, 5000)),
  "forgotten connection": ({ wire }) => wire.forget(),
  restart: async ({ etcd }) => {
    await etcd.stop();
    await etcd.start();
  },
  freeze: async ({ etcd, chance }) => {
    etcd.signal("SIGSTOP");
    await delay(chance.between(100, 2000));
    etcd.signal("SIGCONT");
  },
  compaction: async ({ etcd }) => {
    const [, revision = ""] = /"Revision" : (\d+)/.exec(await etcd.ctl("get", "-w", "fields", PREFIX)) ?? [];
    // There may be nothing to compact since the last time.
    await etcd.ctl("compact", revision).catch(() => undefined);
  },
  backup: async (scene) => {
    await scene.etcd.ctl("snapshot", "save", scene.file);
    scene.backup = scene.model.backup();
  },
  restore: async ({ etcd, model, file, backup }) => {
    if (backup === null) return;
    await etcd.stop();
    await etcd.restore(file);
    model.restore(backup);
    await etcd.start();
  },
  "own key deleted": ({ etcd }) => etcd.ctl("del", "--prefix", subnetKey("10.5.1.")).then(() => undefined),
};
const [firstFault = "", ...otherFaults] = Object.keys(faults);

/** Runs for so long, at least one round; resolves with what was found. The same seed draws the same schedule. */
export async function run({ seed, minutes, log }: Schedule): Promise<Outcome> {
  const cleanups: Parameters<OnCleanup>[0][] = [];
  const onCleanup: OnCleanup = (cleanup) => cleanups.push(cleanup);
  try {
    const { scene, ownIsThere } = await prepare(onCleanup, seed);
    const { chance, model, wire } = scene;
    const end = performance.now() + minutes * 60_000;
    let slowestMs = 0;
    let rounds = 0;
    while ((rounds === 0 || performance.now() < end) && model.problems.length === 0) {
      const names: string[] = [];
      for (let steps = Math.floor(chance.between(1, 4)); steps > 0; steps--) {
        const name = chance.pick([firstFault, ...otherFaults]);
        names.push(name);
        await faults[name]?.(scene);
        await write(scene);
        await delay(chance.between(0, 400));
      }
      wire.heal();
      const healedAt = performance.now();
      const right = async (): Promise<true | null> => (model.atRest && (await ownIsThere()) ? true : null);
      await until(`round ${rounds}`, right, BOUND_MS).catch(() => {
        model.problems.push(`not right ${BOUND_MS} ms after ${names.join(", ")}:\n${model.describe()}`);
      });
      const tookMs = performance.now() - healedAt;
      slowestMs = Math.max(slowestMs, tookMs);
      log(`round ${++rounds}: ${names.join(", ")}; right after ${Math.round(tookMs)} ms`);
    }
    return { rounds, writes: scene.writes, slowestMs, problems: model.problems };
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}

/** A node that has its lease, and an etcd with a first backup in which that is. */
async function prepare(onCleanup: OnCleanup, seed: number) {
  const etcd = await startEtcd(onCleanup);
  await etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","SubnetMax":"10.5.1.0"}');
  const wire = await TcpProxy.start(onCleanup, etcd.endpoint);
  const etcdOptions = options(wire, { withdrawalHoldMs: HOLD_MS });
  const registry = new EtcdRegistry(etcdOptions, 60, pino({ level: "silent" }));
  onCleanup(() => registry.close());
  const own = await registry.acquire(await request(registry, "10.99.0.1"), forever);
  const model = new RegistryModel();
  await registry.watch((snapshot) => model.see(snapshot), forever);
  const scene: Scene = {
    chance: new Chance(seed),
    model,
    etcd,
    wire,
    file: join(await temporaryDirectory(onCleanup), "backup"),
    backup: null,
    writes: 0,
  };
  await faults["backup"]?.(scene);
  const ownIsThere = async (): Promise<boolean> =>
    (await etcd.get(subnetKey(own.key)).catch(() => null)) !== null;
  return { scene, ownIsThere };
}
