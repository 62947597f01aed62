/**
 * C19, C20, C21: a daemon with a thousand peers, and a registry in which somebody writes whatever comes to mind. No
 * good route moves, and the daemon tells of each key what is wrong with it.
 *
 *     host1: weftd ── host2: etcd
 */
import test from "ava";
import { within } from "../support/bounds.js";
import { EtcdBed } from "../support/etcd-bed.js";
import { PREFIX } from "../support/etcd-nodes.js";
import { recordFinding } from "../support/findings.js";
import { hostileLeases } from "../support/hostile-leases.js";
import { until } from "../support/process.js";

const CONFIG = {
  Network: "10.0.0.0/12",
  SubnetMin: "10.15.0.0",
  EnableIPv6: true,
  IPv6Network: "fd05::/48",
  Backend: { Type: "vxlan" },
};
const PEERS = 1000;
/** Lines of one change's rejections in the log: the first twenty, and one for the rest. */
const MOST_LINES = 21;

const subnetKey = (name: string): string => `${PREFIX}/subnets/${name}`;
const hex = (n: number): string => n.toString(16).padStart(2, "0");

/** Good peer number n: its key, address and value. */
function peer(n: number, address = `198.51.${n >> 8}.${n & 255}`): [string, string] {
  const mac = (family: number): string => `02:00:00:0${family}:${hex(n >> 8)}:${hex(n & 255)}`;
  return [
    subnetKey(`10.${8 + (n >> 8)}.${n & 255}.0-24&fd05:0:0:${n.toString(16)}::-64`),
    JSON.stringify({
      PublicIP: address,
      PublicIPv6: `2001:db8:1::${n.toString(16)}`,
      BackendType: "vxlan",
      BackendData: { VNI: 1, VtepMAC: mac(4) },
      BackendV6Data: { VNI: 1, VtepMAC: mac(6) },
    }),
  ];
}

test("C19, C20, C21: crafted leases beside a thousand good ones move no route, and each is told apart", async (t) => {
  t.timeout(120_000);
  const net = await EtcdBed.start(t.teardown, CONFIG, { hosts: 1, underlay: "dual" });
  const peers = Array.from({ length: PEERS }, (_, index) => peer(index + 1));
  await net.etcd.putAll(peers);
  const weftd = await net.launch(net.bed.host(1));
  const { subnets } = await weftd.ready();
  await weftd.peers(PEERS);
  const before = await weftd.ask("/routes");
  t.is(before.length, 2 * PEERS + 2);
  const changes = (): number => weftd.log().filter(({ msg }) => msg === "peers changed").length;
  const [generation, lines] = [changes(), weftd.log().length];

  const own = subnets.map((subnet) => subnet.replace("/", "-"))[0] ?? "";
  const taken = [own, ...peers.slice(0, 9).map(([key]) => key.slice(subnetKey("").length))];
  const hostile = hostileLeases(taken, ["198.51.0.1", "198.51.1.1", "198.51.2.2"]).filter(
    ([name]) => name !== own,
  );
  t.true(hostile.length >= 200, `${hostile.length} crafted leases`);
  await net.etcd.putAll(
    hostile.map(([name, value]) => [subnetKey(name), value]),
    1,
  );
  const rejected = async (): Promise<number> =>
    Object.values((await weftd.ask("/status")).rejectedByReason).reduce((sum, count) => sum + count, 0);
  await within(
    t,
    { row: "C20", fault: `${hostile.length} crafted leases beside ${PEERS} good peers`, boundMs: 2000 },
    "the rejections",
    async () => (await rejected()) === hostile.length,
  );
  t.deepEqual(await weftd.ask("/routes"), before);
  t.is(changes(), generation, "the tables were not even replaced");
  const status = await weftd.ask("/status");
  t.deepEqual(Object.keys(status.rejectedByReason).sort(), [
    ...["address", "backend", "duplicate", "family", "length", "malformed", "outside-network", "overlap"],
    ...["oversized", "self", "vni"],
  ]);
  t.is(status.health.state, "ready");
  t.true(weftd.log().length - lines <= 12 * MOST_LINES);

  // What is good goes on beside it: a change, and a key that turns bad.
  const [[first], [second]] = [peer(4), peer(2)];
  await net.etcd.putAll([peer(4, "198.51.100.1"), [second, "{"]]);
  await until("the change", async () => {
    const routes = await weftd.ask("/routes");
    return routes.some(({ via }) => via === "198.51.100.1") ? true : null;
  });
  const after = await weftd.ask("/routes");
  t.is(after.length, before.length);
  t.deepEqual(
    after.filter(({ node }) => subnetKey(node ?? "") !== first),
    before.filter(({ node }) => subnetKey(node ?? "") !== first),
  );
  recordFinding({
    row: "C19",
    fault: `a good key turns bad among ${PEERS}, beside ${hostile.length} crafted leases`,
    test: t.title,
    bound: "0 other routes touched",
    measured: "0 of 2000 routes",
  });
});

test("C20: keys and values of megabytes cost no route and little memory, neither when they come nor in a list", async (t) => {
  t.timeout(120_000);
  const net = await EtcdBed.start(t.teardown, CONFIG, { hosts: 1, underlay: "dual" });
  const peers = Array.from({ length: 100 }, (_, index) => peer(index + 1));
  await net.etcd.putAll(peers);
  const weftd = await net.launch(net.bed.host(1));
  await weftd.ready();
  await weftd.peers(peers.length);
  const before = await weftd.ask("/routes");
  const megabyte = 1_000_000;
  const large = Array.from({ length: 40 }, (_, n): [string, string] => {
    return [subnetKey(`10.${200 + (n >> 8)}.${n}.0-24`), "x".repeat(megabyte)];
  });
  const long = ["a", "b"].map((letter): [string, string] => [subnetKey(letter.repeat(megabyte)), "{}"]);
  await net.etcd.putAll([...large, ...long], 1);
  const counts = async (): Promise<string> => JSON.stringify((await weftd.ask("/status")).rejectedByReason);
  const wanted = JSON.stringify({ oversized: large.length, malformed: long.length });
  await until("the rejections", async () => ((await counts()) === wanted ? true : null));
  t.deepEqual(await weftd.ask("/routes"), before);

  // A daemon that starts reads all of it in a list.
  await weftd.stop();
  const again = await net.launch(net.bed.host(1));
  await again.ready();
  await again.peers(peers.length);
  const { rejectedByReason } = await again.ask("/status");
  t.deepEqual(rejectedByReason, { oversized: large.length, malformed: long.length });
  t.deepEqual(await again.ask("/routes"), before);
  const megabytes = again.program.peakMemory / 1e6;
  t.true(megabytes < 250, `${megabytes} MB`);
  recordFinding({
    row: "C20",
    fault: `${large.length} values and ${long.length} keys of a megabyte each, in events and in a list`,
    test: t.title,
    bound: "0 other routes touched, memory bounded",
    measured: `0 of ${before.length} routes, at most ${Math.round(megabytes)} MB resident`,
  });
});
