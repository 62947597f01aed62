/**
 * A daemon that loses etcd or its lease, and one that leaves: what that costs the packets, the CPU and the log. Rows
 * C2, C12, C14 of the fault catalogue.
 *
 *     pod ─ cni0 ─ host1: weftd ──┬── host3: etcd
 *     pod ─ cni0 ─ host2: weftd ──┘
 */
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import type { Etcd } from "../support/etcd.js";
import { EtcdBed } from "../support/etcd-bed.js";
import { etcdLease, PREFIX } from "../support/etcd-nodes.js";
import type { Host } from "../support/hosts.js";
import { Overlay } from "../support/overlay.js";
import { recordFinding } from "../support/findings.js";
import { run, until } from "../support/process.js";
import { mustPing } from "../support/traffic.js";
import { mustBalance } from "../support/weftd.js";

const KEY = `${PREFIX}/subnets/10.5.1.0-24`;
const WEFT = fileURLToPath(new URL("../../src/weft.js", import.meta.url));
/** How long etcd is away in the test of an outage, in seconds. */
const OUTAGE_S = Number(process.env["WEFT_TEST_OUTAGE"] ?? 8);

/** Two hosts, whose daemons are still to be started. */
async function start(t: ExecutionContext) {
  t.timeout(90_000);
  const net = await EtcdBed.start(t.teardown, { Network: "10.5.0.0/16" }, { hosts: 2 });
  const hosts = [net.bed.host(1), net.bed.host(2)] as const;
  return { net, etcd: net.etcd, hosts, startNode: (host: Host) => net.startNode(host) };
}

/** Puts the lease of a host, to end `ttl` seconds after the last renewal. */
async function putLease(etcd: Etcd, { address }: Host, ttl: number): Promise<void> {
  const [, id = ""] = /lease ([0-9a-f]+)/.exec(await etcd.ctl("lease", "grant", String(ttl))) ?? [];
  await etcd.ctl("put", KEY, `{"PublicIP":"${address}","PublicIPv6":null}`, `--lease=${id}`);
}

test("C12, C13: a node that loses its key, or its subnet to another node, goes on carrying every packet", async (t) => {
  const { etcd, hosts, startNode } = await start(t);
  // The other end has its routes from a file, so that what gets lost was lost by the node that is looked at.
  const overlay = await Overlay.create(t.teardown, { format: "udp" });
  for (const host of hosts) await overlay.addToFile(host);
  await putLease(etcd, hosts[0], 600);
  await etcd.put(`${PREFIX}/subnets/10.5.2.0-24`, `{"PublicIP":"${hosts[1].address}","PublicIPv6":null}`);
  const [a, b] = [await startNode(hosts[0]), await overlay.startNode(hosts[1])];
  await a.weftd.peers(1);
  const own = await etcd.get(KEY);
  const back = (): Promise<true> =>
    until("the key is back", async () => ((await etcd.get(KEY)) === own ? true : null));

  const traffic = mustPing(a.pod.ns, b.pod.address, { count: 15 });
  await etcd.ctl("lease", "revoke", await etcdLease(etcd, KEY));
  await back();
  await etcd.del(KEY);
  await back();
  await etcd.put(KEY, '{"PublicIP":"192.0.2.77","PublicIPv6":null}');
  await until("the loss is reported", async () =>
    (await a.weftd.ask("/status")).health.state === "failed" ? true : null,
  );
  await etcd.del(KEY);
  await back();
  t.is((await traffic).received, 15);
  await a.weftd.ready();
  await mustBalance(a.weftd, b.weftd);
});

test("C14: a daemon that was stopped for longer than its lease puts it back within 2 s of going on", async (t) => {
  const { etcd, hosts, startNode } = await start(t);
  await putLease(etcd, hosts[0], 15);
  const { weftd } = await startNode(hosts[0]);
  const own = (await etcd.get(KEY)) ?? "the lease ended too early";
  weftd.program.signal("SIGSTOP");
  await until("the lease ends", async () => ((await etcd.get(KEY)) === null ? true : null), 30_000);
  weftd.program.signal("SIGCONT");
  await until("the key is back", async () => ((await etcd.get(KEY)) === own ? true : null), 5000);
  t.is((await weftd.ready()).subnets.join(), "10.5.1.0/24");
});

test("C2: without etcd packets flow, and the daemon uses under 2 % of a CPU and a few lines of log", async (t) => {
  const { etcd, hosts, startNode } = await start(t);
  const [a, b] = await Promise.all(hosts.map(startNode));
  if (a === undefined || b === undefined) throw new Error("two hosts are two nodes");
  await Promise.all([a.weftd.peers(1), b.weftd.peers(1)]);
  await mustPing(a.pod.ns, b.pod.address);
  const logged = a.weftd.log().length;
  await etcd.stop();
  await until("the loss is noticed", async () =>
    (await a.weftd.ask("/status")).registry.connected ? null : true,
  );
  // The first second is that of the quick tries.
  const { program } = a.weftd;
  const from = { cpu: program.cpuSeconds, at: performance.now() + 1000 };
  await until("the outage lasts", () => (performance.now() > from.at ? true : null));
  from.cpu = program.cpuSeconds;
  await until(
    "the outage lasts",
    () => (performance.now() > from.at + OUTAGE_S * 1000 ? true : null),
    OUTAGE_S * 1000 + 5000,
  );
  const share = (program.cpuSeconds - from.cpu) / ((performance.now() - from.at) / 1000);
  t.log(`${(share * 100).toFixed(2)} % of a CPU`);
  t.true(share < 0.02, `${share * 100} % of a CPU`);
  recordFinding({
    row: "C2",
    fault: "etcd is gone",
    test: t.title,
    bound: "2 % of a CPU",
    measured: `${(share * 100).toFixed(2)} % of a CPU, packets flow`,
  });
  const lines = a.weftd.log().slice(logged);
  t.true(lines.length <= 3, lines.map((line) => JSON.stringify(line)).join("\n"));
  await mustPing(a.pod.ns, b.pod.address);
  await etcd.start();
  await until(
    "etcd is found again",
    async () => ((await a.weftd.ask("/status")).registry.connected ? true : null),
    6000,
  );
  await mustBalance(a.weftd, b.weftd);
});

test("weft leave gives the lease back and ends the daemon for good", async (t) => {
  const { net, etcd, hosts, startNode } = await start(t);
  const [a, b] = await Promise.all(hosts.map(startNode));
  if (a === undefined || b === undefined) throw new Error("two hosts are two nodes");
  await b.weftd.peers(1);
  const said = await run(process.execPath, [WEFT, "leave", "--run-dir", a.weftd.directory]);
  t.regex(said, /^the lease 10\.5\.\d+\.0-24 is given back; weftd stops\n$/);
  t.deepEqual(await a.weftd.program.exited, { code: 4, signal: null });
  t.is((await etcd.keys(`${PREFIX}/subnets/`)).length, 1);
  await b.weftd.peers(0);
  const again = await net.launch(a.host);
  await again.ready();
  t.deepEqual(await again.podNetwork(), await a.weftd.podNetwork(), "who returns finds its subnet free");
});
