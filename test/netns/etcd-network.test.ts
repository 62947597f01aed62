/**
 * The network as it is run: routes from a real etcd. Nodes find each other and a node that flannel registered, and a
 * node keeps its subnet when it is stopped and started.
 *
 *     pod ─ cni0 ─ host1: weftd ──┬── host3: a flannel udp node (its lease by etcdctl, a socket on port 8285)
 *     pod ─ cni0 ─ host2: weftd ──┴── host4: etcd
 */
import test, { type ExecutionContext } from "ava";
import { Agent } from "../support/agent.js";
import { captureWire, tunnelDatagrams } from "../support/capture.js";
import { EtcdBed } from "../support/etcd-bed.js";
import { PREFIX } from "../support/etcd-nodes.js";
import { ports } from "../support/overlay.js";
import { readPacket } from "../support/packets.js";
import { mustPing, ping } from "../support/traffic.js";
import { mustBalance } from "../support/weftd.js";

/** A DSCP and an ECN field, in the places they have in a TOS. */
const EF = 0xb8;
const ECT0 = 2;

function start(t: ExecutionContext, format: "udp" | "vxlan"): Promise<EtcdBed> {
  return EtcdBed.start(t.teardown, { Network: "10.5.0.0/16", Backend: { Type: format } }, { hosts: 3 });
}

for (const format of ["udp", "vxlan"] as const) {
  test(`${format}: nodes find each other, and keep their subnets over a restart`, async (t) => {
    t.timeout(90_000);
    const net = await start(t, format);
    const { bed, etcd } = net;
    const [a, b] = await Promise.all([net.startNode(bed.host(1)), net.startNode(bed.host(2))]);
    await Promise.all([a.weftd.peers(1), b.weftd.peers(1)]);
    await mustPing(a.pod.ns, b.pod.address);
    await mustPing(b.pod.ns, a.pod.address);
    await mustBalance(a.weftd);

    const before = await a.weftd.podNetwork();
    const keys = await etcd.keys(`${PREFIX}/subnets/`);
    t.deepEqual(await a.weftd.stop(), { code: 0, signal: null });
    t.deepEqual(await etcd.keys(`${PREFIX}/subnets/`), keys, "the lease is kept");
    t.deepEqual(await a.weftd.podNetwork(), before, "subnet.env is kept");
    t.is((await ping(b.pod.ns, a.pod.address, { count: 1 })).received, 0);

    const again = await net.launch(a.host);
    await again.ready();
    t.deepEqual(await again.podNetwork(), before);
    t.deepEqual(await etcd.keys(`${PREFIX}/subnets/`), keys);
    await again.peers(1);
    await mustPing(a.pod.ns, b.pod.address);
    await mustPing(b.pod.ns, a.pod.address);
  });
}

test("a node that flannel registered is a peer, and is gone when its lease is", async (t) => {
  t.timeout(60_000);
  const net = await start(t, "udp");
  const { bed, etcd } = net;
  const weft = await net.startNode(bed.host(1));
  const flannel = await Agent.start(bed.host(3).ns);
  await flannel.do("udp-open", { address: bed.host(3).address, port: ports.udp });
  // As flannel's udp backend writes it.
  await etcd.put(`${PREFIX}/subnets/10.5.200.0-24`, '{"PublicIP":"192.0.2.3","PublicIPv6":null}');
  await weft.weftd.peers(1);
  const sender = await Agent.start(weft.pod.ns);
  await sender.do("udp-open", { address: weft.pod.address, port: 4000 });
  await sender.do("udp-send", { hex: "abcd", address: "10.5.200.7", port: 5000 });
  const packet = readPacket(Buffer.from((await flannel.datagram()).hex, "hex"));
  t.like(packet, { source: weft.pod.address, destination: "10.5.200.7", ttl: 62, problems: [] });

  // Its proxy would not see congestion marks of the outer header; another weft node does.
  const other = await net.startNode(bed.host(2));
  await weft.weftd.peers(2);
  const capture = await captureWire(bed, t.teardown);
  for (const address of ["10.5.200.7", other.pod.address]) {
    await ping(weft.pod.ns, address, { count: 1, tos: EF | ECT0 });
  }
  const sent = tunnelDatagrams(await capture.stop(3), {
    format: "udp",
    port: ports.udp,
    mtu: bed.mtu,
    senders: ["192.0.2.1"],
  });
  t.deepEqual(
    sent.map(({ outer }) => [outer.destination, outer.tos]),
    [
      ["192.0.2.3", EF],
      ["192.0.2.2", EF | ECT0],
    ],
  );

  await etcd.del(`${PREFIX}/subnets/10.5.200.0-24`);
  await weft.weftd.peers(1);
});

test("a daemon waits for a network config that is not there yet", async (t) => {
  const net = await start(t, "udp");
  const { bed, etcd } = net;
  const config = (await etcd.get(`${PREFIX}/config`)) ?? "";
  await etcd.del(`${PREFIX}/config`);
  const weftd = await net.launch(bed.host(1));
  await weftd.program.line(/no network config/);
  t.deepEqual(await etcd.keys(`${PREFIX}/subnets/`), []);
  // There is nothing to reload yet, and nothing to end for.
  weftd.program.signal("SIGHUP");
  await etcd.put(`${PREFIX}/config`, config);
  await weftd.ready();
  t.is((await etcd.keys(`${PREFIX}/subnets/`)).length, 1);
});
