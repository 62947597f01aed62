/**
 * Eight daemons and one etcd: they race for subnets, are shown junk, are cut off, get an etcd from a backup and lose
 * every key, one after another on one bed, while two pods ping each other.
 *
 *     pod ─ cni0 ─ host1: weftd ──┬── host9: etcd
 *     pod ─ cni0 ─ host2: weftd ──┤
 *                  host3..8: weftd┘
 */
import { join } from "node:path";
import test from "ava";
import { within } from "../support/bounds.js";
import { EtcdBed } from "../support/etcd-bed.js";
import { PREFIX } from "../support/etcd-nodes.js";
import { recordFinding } from "../support/findings.js";
import type { Node } from "../support/overlay.js";
import { freeze, type OnCleanup, temporaryDirectory, until } from "../support/process.js";
import { mustPing } from "../support/traffic.js";
import type { Weftd } from "../support/weftd.js";

const COUNT = 8;
const CONFIG = {
  Network: "10.5.0.0/16",
  SubnetMin: "10.5.1.0",
  SubnetMax: "10.5.10.0",
  Backend: { Type: "vxlan" },
};
/** A lease beyond the bounds that new ones are taken from. */
const STRANGER = "10.5.99.0-24";

const cleanups: Parameters<OnCleanup>[0][] = [];
const onCleanup: OnCleanup = (cleanup) => cleanups.push(cleanup);
let net: EtcdBed;
let daemons: readonly Weftd[];
let nodes: readonly [Node, Node];

test.before(async () => {
  net = await EtcdBed.start(onCleanup, CONFIG, { hosts: COUNT });
});
test.after.always(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

const subnetKey = (name: string): string => `${PREFIX}/subnets/${name}`;
const stranger = (address: string): string =>
  `{"PublicIP":"${address}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:63"}}`;

/** The routes to peers, as `prefix via address`. */
async function routes(weftd: Weftd): Promise<string[]> {
  const rows = await weftd.ask("/routes");
  return rows.flatMap(({ prefix, via }) => (via === null ? [] : [`${prefix} via ${via}`])).sort();
}

async function everywhere(holds: (weftd: Weftd) => Promise<boolean>): Promise<boolean> {
  const results = await Promise.all(daemons.map(holds));
  return results.every((result) => result);
}

function hasStrangerAt(address: string): (weftd: Weftd) => Promise<boolean> {
  return async (weftd) => (await routes(weftd)).includes(`10.5.99.0/24 via ${address}`);
}

/** How often the daemons were given other tables. */
function changes(): number {
  return daemons.reduce(
    (sum, weftd) => sum + weftd.log().filter(({ msg }) => msg === "peers changed").length,
    0,
  );
}

test.serial(
  "C18: eight daemons race for ten subnets, and each has its own and the seven others",
  async (t) => {
    t.timeout(120_000);
    const hosts = net.bed.hosts.slice(0, COUNT);
    const begin = performance.now();
    daemons = await Promise.all(hosts.map((host) => net.launch(host)));
    const states = await Promise.all(daemons.map((weftd) => weftd.ready(60_000)));
    const seconds = (performance.now() - begin) / 1000;
    t.is(new Set(states.map(({ subnets }) => subnets.join())).size, COUNT);
    await Promise.all(daemons.map((weftd) => weftd.peers(COUNT - 1)));
    recordFinding({
      row: "C18",
      fault: "8 daemons race for 10 subnets on one machine",
      test: t.title,
      bound: "8 subnets, no exit",
      measured: `8 subnets in ${seconds.toFixed(1)} s`,
    });
    const [a, b] = await Promise.all(
      ([0, 1] as const).map(async (index): Promise<Node> => {
        const [host, weftd] = [hosts[index], daemons[index]];
        if (host === undefined || weftd === undefined) throw new Error("fewer than two hosts");
        return { host, weftd, pod: await host.addPod(await weftd.podNetwork()) };
      }),
    );
    if (a === undefined || b === undefined) throw new Error("fewer than two nodes");
    nodes = [a, b];
    await mustPing(a.pod.ns, b.pod.address);
  },
);

test.serial("C19: junk keys are set aside one by one: eight daemons keep the tables they have", async (t) => {
  await net.etcd.put(subnetKey(STRANGER), stranger("192.0.2.100"));
  await until("the stranger", async () => ((await everywhere(hasStrangerAt("192.0.2.100"))) ? true : null));
  const before = changes();
  const junk: [string, string][] = [
    ["nonsense", "{}"],
    ["10.5.200.0-24", "{"],
    ["10.5.201.0-24&junk", stranger("192.0.2.101")],
    ["10.9.1.0-24", stranger("192.0.2.101")],
    ["10.5.202.0-24", stranger("127.0.0.1")],
    [STRANGER, "what was good is junk now"],
  ];
  await net.etcd.putAll(junk.map(([name, value]) => [subnetKey(name), value]));
  const rejected = async (weftd: Weftd): Promise<boolean> =>
    (await weftd.ask("/status")).rejected.length === junk.length;
  await within(
    t,
    { row: "C19", fault: "junk keys and values, one under a good peer's key", boundMs: 2000 },
    "the rejections",
    () => everywhere(rejected),
  );
  t.true(await everywhere(hasStrangerAt("192.0.2.100")), "the last good value counts");
  t.is(changes(), before, "and no table was replaced");
  await net.etcd.putAll([
    ...junk.slice(0, -1).map(([name]) => [subnetKey(name), null] as const),
    [subnetKey(STRANGER), stranger("192.0.2.100")],
  ]);
});

test.serial("C19: an own key that turned to junk is written again", async (t) => {
  const [first] = daemons;
  const name = (await first?.ask("/status"))?.subnets[0]?.replace("/", "-") ?? "";
  const own = await net.etcd.get(subnetKey(name));
  await net.etcd.put(subnetKey(name), "{");
  await within(
    t,
    { row: "C13", fault: "the own key is overwritten with what nobody can read", boundMs: 2000 },
    "the key is back",
    async () => (await net.etcd.get(subnetKey(name))) === own,
  );
  t.is((await first?.ready())?.health.state, "ready");
});

test.serial(
  "C22: a peer that moves while a daemon is cut off from etcd is found at its new address",
  async (t) => {
    const [{ weftd, host }] = nodes;
    const drop = "table inet cut { chain c { type filter hook input priority 0; tcp sport 2379 drop; }; }";
    await host.ns.nft(drop);
    await net.etcd.put(subnetKey(STRANGER), stranger("192.0.2.102"));
    await until("the others know", async () => {
      const others = await Promise.all(daemons.slice(1).map(hasStrangerAt("192.0.2.102")));
      return others.every((each) => each) ? true : null;
    });
    t.true(await hasStrangerAt("192.0.2.100")(weftd));
    await host.ns.nft("delete table inet cut");
    await within(
      t,
      { row: "C22", fault: "a peer's address changes while the daemon's wire to etcd is cut", boundMs: 2000 },
      "the new address",
      () => hasStrangerAt("192.0.2.102")(weftd),
    );
  },
);

test.serial(
  "C8: etcd comes back from a backup: the routes are the backup's, and every daemon's lease is in it",
  async (t) => {
    t.timeout(60_000);
    const backup = join(await temporaryDirectory(t.teardown), "backup");
    await net.etcd.ctl("snapshot", "save", backup);
    await net.etcd.put(subnetKey("10.5.98.0-24"), stranger("192.0.2.98"));
    const pings = mustPing(nodes[0].pod.ns, nodes[1].pod.address, { count: 15 });
    await net.etcd.stop();
    await net.etcd.restore(backup);
    await net.etcd.start();
    await within(
      t,
      { row: "C8", fault: "etcd is restored from a backup, eight daemons", boundMs: 5000 },
      "the restore is followed",
      () =>
        everywhere(async (weftd) => {
          const { registry, peers } = await weftd.ask("/status");
          return registry.restores === 1 && registry.connected && peers === COUNT;
        }),
    );
    t.is((await pings).received, 15);
    t.is((await net.etcd.keys(subnetKey(""))).length, COUNT + 1);
    t.true(await everywhere(hasStrangerAt("192.0.2.102")), "what the backup has is in use");
  },
);

test.serial("C23: all keys are deleted: no route goes, no packet is lost, every key is back", async (t) => {
  t.timeout(60_000);
  const before = await Promise.all(daemons.map(routes));
  const keys = (await net.etcd.keys(subnetKey(""))).filter((key) => key !== subnetKey(STRANGER));
  const pings = mustPing(nodes[0].pod.ns, nodes[1].pod.address, { count: 12 });
  // One sees nothing of it but that the stranger's is gone: all others are back when it looks.
  const [, , late] = daemons;
  if (late === undefined) throw new Error("no third daemon");
  await freeze(late.program, t.teardown);
  await net.etcd.ctl("del", "--prefix", subnetKey(""));
  await until("the other keys are back", async () =>
    (await net.etcd.keys(subnetKey(""))).length === COUNT - 1 ? true : null,
  );
  late.program.signal("SIGCONT");
  const all = keys.join();
  await within(
    t,
    { row: "C23", fault: "every lease is deleted at once, eight daemons", boundMs: 2000 },
    "the keys are back",
    async () => (await net.etcd.keys(subnetKey(""))).join() === all,
  );
  t.is((await pings).received, 12);
  // Beside those, the one that etcd lost with its restore: it vanished within the same ten seconds.
  const restored = "10.5.98.0/24 via 192.0.2.98";
  const after = await Promise.all(daemons.map(routes));
  t.deepEqual(
    after.map((each) => each.filter((route) => route !== restored)),
    before,
  );
  const held = (await daemons[0]?.ask("/status"))?.health;
  t.is(held?.state, "degraded");
  t.regex(held?.reasons.join() ?? "", /[12] leases vanished from etcd at once/);
});
