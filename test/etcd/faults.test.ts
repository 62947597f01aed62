/**
 * etcd goes, comes back, comes back as another, or only seems to be there: routes stay, and what changed arrives.
 *
 *     registry ── proxy (the wire that is cut) ── etcd
 */
import test from "ava";
import { startEtcd } from "../support/etcd.js";
import {
  forever,
  joinNetwork,
  leaseKey,
  openRegistry,
  options,
  PREFIX,
  sees,
  UDP,
  withConfig,
} from "../support/etcd-nodes.js";
import { until } from "../support/process.js";
import { TcpProxy } from "../support/tcp-proxy.js";

const lease = (address: string): string => JSON.stringify({ PublicIP: address, PublicIPv6: null });
const subnet = (key: string): string => `${PREFIX}/subnets/${key}`;

test("etcd may go for a while: nothing is withdrawn, and what changed comes after", async (t) => {
  const etcd = await withConfig(t);
  const a = await joinNetwork(t, options(etcd), "10.99.0.1");
  const b = await joinNetwork(t, options(etcd), "10.99.0.2");
  await sees(a, b.lease.key);
  const delivered = a.snapshots.length;
  await etcd.stop();
  await until("the loss is noticed", () => (a.registry.status().connected ? null : true));
  t.regex(a.registry.status().problem ?? "", /etcd at http/);
  t.is(a.snapshots.length, delivered);
  await etcd.start();
  await etcd.put(subnet("10.5.200.0-24"), lease("10.99.0.3"));
  await sees(a, b.lease.key, "10.5.200.0-24");
  t.is(a.registry.status().problem, null);
  for (const { peers } of a.snapshots) {
    t.true(
      peers.length === 0 || peers.some(({ key }) => key === b.lease.key),
      "the peer that stayed is never missing",
    );
  }
});

test("a compaction during a cut leads to a new list, in which nothing is missing", async (t) => {
  const etcd = await withConfig(t);
  const wire = await TcpProxy.start(t.teardown, etcd.endpoint);
  const node = await joinNetwork(t, options(wire), "10.99.0.1");
  await etcd.put(subnet("10.5.200.0-24"), lease("10.99.0.3"));
  await etcd.put(subnet("10.5.201.0-24"), lease("10.99.0.4"));
  await sees(node, "10.5.200.0-24", "10.5.201.0-24");
  wire.cut();
  await etcd.del(subnet("10.5.200.0-24"));
  await etcd.put(subnet("10.5.201.0-24"), lease("10.99.0.5"));
  await etcd.put(subnet("10.5.202.0-24"), lease("10.99.0.6"));
  const [, revision = ""] = /"Revision" : (\d+)/.exec(await etcd.ctl("get", "-w", "fields", PREFIX)) ?? [];
  await etcd.ctl("compact", revision);
  wire.heal();
  const seen = await sees(node, "10.5.201.0-24", "10.5.202.0-24");
  const changed = seen.peers.find(({ key }) => key === "10.5.201.0-24");
  t.is(changed?.subnets[0]?.via.address.text, "10.99.0.5");
});

test("events of a cut are delivered after it, each once", async (t) => {
  const etcd = await withConfig(t);
  const wire = await TcpProxy.start(t.teardown, etcd.endpoint);
  const node = await joinNetwork(t, options(wire), "10.99.0.1");
  wire.cut();
  const keys = Array.from({ length: 30 }, (_, index) => `10.5.${200 + index}.0-24`);
  for (const key of keys) await etcd.put(subnet(key), lease("10.99.0.3"));
  wire.heal();
  await sees(node, ...keys);
  t.is(
    node.registry.status().revision,
    Number(/"ModRevision" : (\d+)/.exec(await etcd.ctl("get", "-w", "fields", subnet("10.5.229.0-24")))?.[1]),
  );
});

test("an etcd that came back from a backup is listed anew and gets this node's lease again", async (t) => {
  const [etcd, backup] = [await withConfig(t), await startEtcd(t.teardown)];
  const wire = await TcpProxy.start(t.teardown, etcd.endpoint);
  const node = await joinNetwork(t, options(wire, { withdrawalHoldMs: 0 }), "10.99.0.1");
  await etcd.put(subnet("10.5.200.0-24"), lease("10.99.0.3"));
  await sees(node, "10.5.200.0-24");
  await backup.put(`${PREFIX}/config`, UDP);
  await backup.put(subnet("10.5.201.0-24"), lease("10.99.0.4"));
  wire.heal(backup.endpoint);
  await sees(node, "10.5.201.0-24");
  await until("the own lease", () => backup.get(leaseKey(node)));
  t.is(await backup.get(leaseKey(node)), lease("10.99.0.1"));
});

test("a connection that went mute is left for another endpoint", async (t) => {
  const etcd = await withConfig(t);
  const wire = await TcpProxy.start(t.teardown, etcd.endpoint);
  const node = await joinNetwork(
    t,
    options(wire, { endpoints: [wire.endpoint, etcd.endpoint] }),
    "10.99.0.1",
  );
  wire.mute();
  await etcd.put(subnet("10.5.200.0-24"), lease("10.99.0.3"));
  await until("the new peer", () => (node.snapshots.at(-1)?.peers.length === 1 ? true : null), 20_000);
  t.is(node.registry.status().source, etcd.endpoint);
});

test("endpoints that are dead or mute are passed over", async (t) => {
  const etcd = await withConfig(t);
  const [dead, mute] = [
    await TcpProxy.start(t.teardown, etcd.endpoint),
    await TcpProxy.start(t.teardown, etcd.endpoint),
  ];
  dead.cut();
  mute.mute();
  const node = await joinNetwork(
    t,
    options(etcd, { endpoints: [dead.endpoint, mute.endpoint, etcd.endpoint] }),
    "10.99.0.1",
  );
  t.is(node.registry.status().source, etcd.endpoint);
  t.true(node.registry.status().connected);
});

test("waiting for etcd ends with the signal's reason, and says what it waits for", async (t) => {
  const registry = openRegistry(t, options({ endpoint: "http://127.0.0.1:1" }));
  const stop = new AbortController();
  const waiting = registry.networkConfig(stop.signal);
  await until("the problem is reported", () => registry.status().problem);
  t.regex(registry.status().problem ?? "", /127\.0\.0\.1:1.*ECONNREFUSED/);
  stop.abort(new Error("enough"));
  await t.throwsAsync(waiting, { message: "enough" });
  await t.throwsAsync(
    openRegistry(t, options({ endpoint: "http://127.0.0.1:1" })).networkConfig(
      AbortSignal.any([stop.signal, forever]),
    ),
    { message: "enough" },
  );
});
