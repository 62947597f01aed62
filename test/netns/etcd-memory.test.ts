/**
 * C1: hosts whose etcd is away when they start: packets flow between pods by what the last run remembered, soon, and
 * what is wrong is said. Dual-stack, so that keys, values, memory and tables of both families are gone through.
 *
 *     pod ─ cni0 ─ host1: weftd ──┬── host3: etcd
 *     pod ─ cni0 ─ host2: weftd ──┘
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { startEtcd } from "../support/etcd.js";
import { Bed, type Host } from "../support/hosts.js";
import type { Node } from "../support/overlay.js";
import { temporaryDirectory, until } from "../support/process.js";
import { mustPing } from "../support/traffic.js";
import { Weftd } from "../support/weftd.js";

const prefix = "/coreos.com/network";
const CONFIG = {
  Network: "10.5.0.0/16",
  EnableIPv6: true,
  IPv6Network: "fd05::/48",
  Backend: { Type: "vxlan" },
};

async function start(t: ExecutionContext) {
  const bed = await Bed.create(t.teardown, { hosts: 3, underlay: "dual" });
  const directory = await temporaryDirectory(t.teardown);
  const etcdHost = bed.host(3);
  const etcd = await startEtcd(t.teardown, { netns: etcdHost.ns.name, address: etcdHost.address });
  await etcd.put(`${prefix}/config`, JSON.stringify(CONFIG));
  const launch = (host: Host): Promise<Weftd> =>
    Weftd.launch(host.ns, join(directory, `host${host.index}`), {
      args: [`--etcd-endpoints=${etcd.endpoint}`, `--node-id=host${host.index}`],
    });
  const startNode = async (host: Host): Promise<Node> => {
    const weftd = await launch(host);
    await weftd.ready();
    return { host, weftd, pod: await host.addPod(await weftd.podNetwork()) };
  };
  return { etcd, launch, nodes: await Promise.all([startNode(bed.host(1)), startNode(bed.host(2))]) };
}

test("C1: a node forwards both families from its memory while etcd is away, and follows etcd again", async (t) => {
  t.timeout(120_000);
  const { etcd, launch, nodes } = await start(t);
  const [a, b] = nodes;
  await Promise.all([a.weftd.peers(1), b.weftd.peers(1)]);
  const reach = async (): Promise<void> => {
    await mustPing(a.pod.ns, b.pod.address);
    if (b.pod.address6 === null) throw new Error("the pod has no IPv6 address");
    await mustPing(a.pod.ns, b.pod.address6);
  };
  await reach();
  const subnets = await a.weftd.podNetwork();
  const peer = (await b.weftd.ask("/status")).subnets[0]?.replace("/", "-") ?? "";
  await until("the peer is remembered", async () => {
    const memory = await readFile(join(a.weftd.directory, "etcd-memory"), "utf8").catch(() => "");
    return memory.includes(peer) ? true : null;
  });
  // Cut off by a crash, not by a clean stop.
  await etcd.stop();
  await a.weftd.program.stop("SIGKILL");

  const startedAt = performance.now();
  const again = await launch(a.host);
  const status = await until("packets can flow", async () => {
    const answer = await again.ask("/status").catch(() => null);
    return answer?.health.state === "degraded" ? answer : null;
  });
  t.log(`packets can flow ${Math.round(performance.now() - startedAt)} ms after the start of the process`);
  t.regex(status.health.reasons.join(), /stale: etcd has not answered/);
  t.deepEqual(await again.podNetwork(), subnets);
  await reach();

  await etcd.start();
  await again.ready();
  t.is((await etcd.keys(`${prefix}/subnets/`)).length, 2);
  await reach();
});
