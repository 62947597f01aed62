/**
 * The live copy of etcd's leases: whatever happens between etcd and a node, its routes end up as what etcd says.
 *
 *     registry ── proxy (the wire that is cut) ── etcd
 */
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { pino } from "pino";
import { EtcdClient } from "../../src/etcd/client.js";
import { prefixRange } from "../../src/etcd/messages.js";
import { recordTime } from "../support/bounds.js";
import type { Etcd } from "../support/etcd.js";
import {
  forever,
  joinNetwork,
  leaseKey,
  type Node,
  options,
  PREFIX,
  sees,
  withConfig,
} from "../support/etcd-nodes.js";
import { recordFinding } from "../support/findings.js";
import { temporaryDirectory, until } from "../support/process.js";
import { TcpProxy } from "../support/tcp-proxy.js";

const LARGE = '{"Network":"10.0.0.0/8"}';
const lease = (address: string): string => JSON.stringify({ PublicIP: address, PublicIPv6: null });
const subnet = (key: string): string => `${PREFIX}/subnets/${key}`;

async function revisionOf(etcd: Etcd): Promise<number> {
  return Number(/"Revision" : (\d+)/.exec(await etcd.ctl("get", "-w", "fields", PREFIX))?.[1]);
}

/** Waits until the node's peers are these, by the addresses in their values. */
async function converges(node: Node, expected: ReadonlyMap<string, string>): Promise<void> {
  const wanted = JSON.stringify([...expected].sort());
  await until(
    "the routes are what etcd says",
    () => {
      const peers = node.snapshots.at(-1)?.peers ?? [];
      const seen = peers.map(({ key, subnets }) => [key, subnets[0]?.via.address.text]).sort();
      return JSON.stringify(seen) === wanted ? true : null;
    },
    30_000,
  );
}

/** So many that two of all are no mass that vanishes. */
const STEADY = ["10.5.210.0-24", "10.5.211.0-24", "10.5.212.0-24"];

/** A node behind a wire; its etcd was restored from a snapshot, since which one peer had come and one had gone. */
async function beforeRestore(t: ExecutionContext) {
  const etcd = await withConfig(t);
  const wire = await TcpProxy.start(t.teardown, etcd.endpoint);
  const node = await joinNetwork(t, options(wire), "10.99.0.1");
  for (const [index, key] of STEADY.entries()) await etcd.put(subnet(key), lease(`10.99.2.${index + 1}`));
  await etcd.put(subnet("10.5.200.0-24"), lease("10.99.0.3"));
  await sees(node, "10.5.200.0-24", ...STEADY);
  const file = join(await temporaryDirectory(t.teardown), "backup");
  await etcd.ctl("snapshot", "save", file);
  await etcd.put(subnet("10.5.201.0-24"), lease("10.99.0.4"));
  await etcd.del(subnet("10.5.200.0-24"));
  await sees(node, "10.5.201.0-24", ...STEADY);
  wire.cut();
  await etcd.stop();
  await etcd.restore(file);
  await etcd.start();
  return { etcd, wire, node };
}

test("C8: after a restore from a backup, its leases are what counts", async (t) => {
  const { etcd, wire, node } = await beforeRestore(t);
  wire.heal();
  await sees(node, "10.5.200.0-24", ...STEADY);
  t.is(node.registry.status().restores, 1);
  t.is(await etcd.get(leaseKey(node)), lease("10.99.0.1"));
});

test("C8: a restored etcd that has gone on since, past the revision that was seen before", async (t) => {
  const { etcd, wire, node } = await beforeRestore(t);
  for (let n = 0; n < 10; n++) await etcd.put(subnet("10.5.202.0-24"), lease(`10.99.1.${n + 1}`));
  t.true((await revisionOf(etcd)) > node.registry.status().revision);
  wire.heal();
  await sees(node, "10.5.200.0-24", "10.5.202.0-24", ...STEADY);
  t.is(node.registry.status().restores, 1);
});

test("C7: what was compacted away during a cut is listed, once, and is no restore", async (t) => {
  const etcd = await withConfig(t);
  const wire = await TcpProxy.start(t.teardown, etcd.endpoint);
  const node = await joinNetwork(t, options(wire), "10.99.0.1");
  await etcd.put(subnet("10.5.200.0-24"), lease("10.99.0.3"));
  await sees(node, "10.5.200.0-24");
  wire.cut();
  await etcd.put(subnet("10.5.201.0-24"), lease("10.99.0.4"));
  await etcd.put(subnet("10.5.200.0-24"), lease("10.99.0.5"));
  await etcd.ctl("compact", String(await revisionOf(etcd)));
  wire.heal();
  const healedAt = performance.now();
  await converges(
    node,
    new Map([
      ["10.5.200.0-24", "10.99.0.5"],
      ["10.5.201.0-24", "10.99.0.4"],
    ]),
  );
  const bound = { row: "C7", fault: "the watched revision is compacted away during a cut", boundMs: 2000 };
  recordTime(t, bound, performance.now() - healedAt);
  t.is(node.registry.status().restores, 0);
  for (const { peers } of node.snapshots.slice(-2))
    t.true(peers.length > 0, "nothing was withdrawn meanwhile");
});

test("C22: a peer whose address changed while this node was cut off is found at its new one", async (t) => {
  const etcd = await withConfig(t);
  const wire = await TcpProxy.start(t.teardown, etcd.endpoint);
  const node = await joinNetwork(t, options(wire), "10.99.0.1");
  await etcd.put(subnet("10.5.200.0-24"), lease("10.99.0.3"));
  await converges(node, new Map([["10.5.200.0-24", "10.99.0.3"]]));
  wire.cut();
  await etcd.put(subnet("10.5.200.0-24"), lease("10.99.0.7"));
  wire.heal();
  await converges(node, new Map([["10.5.200.0-24", "10.99.0.7"]]));
  t.is(node.registry.status().restores, 0);
});

test("C24: of 10 000 changes in a burst the last ones count, and they are few pictures", async (t) => {
  const etcd = await withConfig(t, LARGE);
  const node = await joinNetwork(t, options(etcd), "192.0.2.1");
  const before = node.snapshots.length;
  const startedAt = performance.now();
  const rounds = 10;
  for (let round = 1; round <= rounds; round++) {
    await etcd.putAll(
      Array.from({ length: 1000 }, (_, n) => [
        subnet(`10.${100 + (n >> 8)}.${n & 255}.0-24`),
        lease(`192.0.${100 + round}.${(n % 250) + 1}`),
      ]),
    );
  }
  const expected = Array.from({ length: 1000 }, (_, n) => {
    return [`10.${100 + (n >> 8)}.${n & 255}.0-24`, `192.0.${100 + rounds}.${(n % 250) + 1}`] as const;
  });
  await converges(node, new Map(expected));
  const bound = {
    row: "C24",
    fault: "10 000 changes in a burst, with the time to write them",
    boundMs: 2000,
  };
  recordTime(t, bound, performance.now() - startedAt);
  const most = (performance.now() - startedAt) / 50 + 2;
  t.true(
    node.snapshots.length - before <= most,
    `${node.snapshots.length - before} pictures, at most ${most}`,
  );
});

test("C24: changes that etcd sends in fragments arrive whole", async (t) => {
  const etcd = await withConfig(t, LARGE);
  const wire = await TcpProxy.start(t.teardown, etcd.endpoint);
  const node = await joinNetwork(t, options(wire), "192.0.2.1");
  const revision = await revisionOf(etcd);
  wire.cut();
  const expected = new Map(
    Array.from({ length: 1500 }, (_, n) => [`10.${100 + (n >> 8)}.${n & 255}.0-24`, "192.0.2.9"]),
  );
  const padding = "x".repeat(3000);
  await etcd.putAll(
    [...expected].map(([key, PublicIP]) => [subnet(key), JSON.stringify({ PublicIP, padding })]),
  );
  wire.heal();
  await converges(node, expected);

  const client = new EtcdClient(options(etcd), pino({ level: "silent" }));
  t.teardown(() => client.close());
  const create_request = {
    ...prefixRange(subnet("")),
    start_revision: String(revision + 1),
    fragment: true,
  };
  for await (const { fragment } of client.stream("Watch.Watch", { create_request }, forever, 20_000)) {
    if (fragment) break;
  }
  t.pass("etcd does send fragments of as much");
});

test("C9, C23: leases that vanish all at once are kept, put back, and given up when etcd still lacks them", async (t) => {
  const etcd = await withConfig(t);
  const node = await joinNetwork(t, options(etcd, { withdrawalHoldMs: 3000 }), "10.99.0.1");
  const other = await joinNetwork(t, options(etcd, { withdrawalHoldMs: 3000 }), "10.99.0.2");
  for (const n of [201, 202, 203]) await etcd.put(subnet(`10.5.${n}.0-24`), lease(`10.99.0.${n}`));
  const all = [other.lease.key, "10.5.201.0-24", "10.5.202.0-24", "10.5.203.0-24"];
  await sees(node, ...all);
  const first = node.snapshots.length;
  await etcd.ctl("del", "--prefix", subnet(""));
  await until("the leases are held", () => (node.snapshots.at(-1)?.held === 3 ? true : null));
  t.regex(node.registry.status().problem ?? "", /3 leases vanished from etcd at once/);
  await until("the own lease is put back", () => etcd.get(leaseKey(node)));
  // A new lease for a held subnet replaces it at once, the others stay.
  await etcd.put(subnet("10.5.201.0-24"), lease("10.99.0.77"));
  await until("the new lease", () =>
    node.snapshots.at(-1)?.peers.some(({ subnets }) => subnets[0]?.via.address.text === "10.99.0.77") === true
      ? true
      : null,
  );
  t.is(node.snapshots.at(-1)?.held, 2);
  for (const { peers } of node.snapshots.slice(first, -1))
    t.is(peers.length, 4, "no route is lost in between");
  recordFinding({
    row: "C9",
    fault: "all leases vanish together",
    test: t.title,
    bound: "no route is lost before the hold ends and etcd was asked again",
    measured: "0 of 4 routes",
  });
  const last = await sees(node, other.lease.key, "10.5.201.0-24");
  t.is(last.held, 0);
  t.is(node.registry.status().problem, null);
});

test("C23: what is held is not given up while etcd cannot be asked", async (t) => {
  const etcd = await withConfig(t);
  const wire = await TcpProxy.start(t.teardown, etcd.endpoint);
  const node = await joinNetwork(t, options(wire, { withdrawalHoldMs: 1500 }), "10.99.0.1");
  for (const n of [201, 202, 203]) await etcd.put(subnet(`10.5.${n}.0-24`), lease(`10.99.0.${n}`));
  await sees(node, "10.5.201.0-24", "10.5.202.0-24", "10.5.203.0-24");
  await etcd.ctl("del", "--prefix", subnet("10.5.20"));
  await until("the leases are held", () => {
    if (node.snapshots.at(-1)?.held !== 3) return null;
    wire.cut();
    return true;
  });
  const heldAt = performance.now();
  await until("the time is up", () => (performance.now() > heldAt + 1800 ? true : null));
  t.false(node.registry.status().connected);
  await etcd.put(subnet("10.5.202.0-24"), lease("10.99.0.202"));
  t.is(node.snapshots.at(-1)?.peers.length, 3);
  wire.heal();
  await sees(node, "10.5.202.0-24");
});
