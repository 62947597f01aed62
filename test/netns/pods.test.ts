/**
 * weft's main job: pods on different hosts, and hosts and remote pods, talk to each other and see each other's own
 * addresses; everything on the wire is valid for any peer.
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd ── wire (captured) ── host2: weftd ─ cni0 ─ pod 10.5.2.2
 */
import test, { type ExecutionContext } from "ava";
import { Agent } from "../support/agent.js";
import { captureWire, tunnelDatagrams } from "../support/capture.js";
import { Bed } from "../support/hosts.js";
import { type Node, ports, startOverlay, vni } from "../support/overlay.js";
import { iperf, mustPing, traceroute } from "../support/traffic.js";

/** Pings, and TCP whose server tells the client which address it sees, between pods and from hosts to pods. */
async function talkBothWays(t: ExecutionContext, a: Node, b: Node): Promise<void> {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const server = await Agent.start(to.pod.ns);
    await server.do("tcp-listen", { address: "::", port: 80 });
    for (const [ns, own, own6] of [
      [from.pod.ns, from.pod.address, from.pod.address6],
      // A host's own address in the overlay is that of its TUN device: the first of its subnet.
      [from.host.ns, `10.5.${from.host.index}.0`, `fd05:0:0:${from.host.index}::`],
    ] as const) {
      const client = await Agent.start(ns);
      await mustPing(ns, to.pod.address);
      t.is(await client.do("tcp-ask", { address: to.pod.address, port: 80 }), own);
      if (to.pod.address6 === null || own6 === null) continue;
      await mustPing(ns, to.pod.address6);
      t.is(await client.do("tcp-ask", { address: to.pod.address6, port: 80 }), own6);
    }
  }
}

const cases = [
  { format: "udp", ipv6: false, underlay: "ipv4" },
  { format: "vxlan", ipv6: true, underlay: "ipv4" },
  { format: "vxlan", ipv6: true, underlay: "ipv6" },
] as const;

// One after another: each moves more data than a small machine carries for all at once.
for (const { format, ipv6, underlay } of cases) {
  const inner = ipv6 ? "IPv4 and IPv6" : "IPv4";

  test.serial(`${inner} in ${format} over ${underlay}, every datagram on the wire valid`, async (t) => {
    t.timeout(120_000);
    const bed = await Bed.create(t.teardown, { hosts: 2, underlay });
    const { nodes } = await startOverlay(bed, t.teardown, { format, ipv6 });
    const [a, b] = nodes as [Node, Node];
    const capture = await captureWire(bed, t.teardown);

    await talkBothWays(t, a, b);
    for (const address of [b.pod.address, b.pod.address6].filter((address) => address !== null)) {
      for (const reverse of [false, true]) {
        t.true((await iperf(a.pod.ns, b.pod.ns, address, { megabytes: 20, reverse })).bitsPerSecond > 10e6);
      }
    }

    const macs = await Promise.all(
      nodes.map(
        async ({ host, weftd }) => [host.address, (await weftd.ask("/status")).macs[0] ?? ""] as const,
      ),
    );
    const datagrams = tunnelDatagrams(await capture.stop(), {
      format,
      port: ports[format],
      mtu: bed.mtu,
      macs: new Map(macs),
    });
    t.true(datagrams.length > 1000, `only ${datagrams.length} datagrams`);
    const wrong = datagrams.filter(({ problems }) => problems.length > 0);
    t.deepEqual(wrong.slice(0, 3), [], `${wrong.length} of ${datagrams.length} datagrams are wrong`);
    t.deepEqual([...new Set(datagrams.map((datagram) => datagram.vni))], [format === "vxlan" ? vni : null]);
    // TCP fills the path: nothing is sent in smaller pieces than it allows.
    t.is(Math.max(...datagrams.map(({ outerLength }) => outerLength)), bed.mtu);
  });

  test.serial(`${inner} in ${format} over ${underlay}, with offloads between the hosts`, async (t) => {
    t.timeout(120_000);
    const bed = await Bed.create(t.teardown, { hosts: 2, underlay, offloads: true });
    const { nodes } = await startOverlay(bed, t.teardown, { format, ipv6 });
    const [a, b] = nodes as [Node, Node];
    await talkBothWays(t, a, b);
    for (const reverse of [false, true]) {
      t.true(
        (await iperf(a.pod.ns, b.pod.ns, b.pod.address, { megabytes: 20, reverse })).bitsPerSecond > 10e6,
      );
    }
  });
}

for (const offload of ["none", "tso,uso", "gso,gro"]) {
  test.serial(`with the offloads ${offload}, IPv4 and IPv6 in vxlan`, async (t) => {
    t.timeout(120_000);
    const bed = await Bed.create(t.teardown, { hosts: 2 });
    const overlay = { format: "vxlan", ipv6: true } as const;
    const { nodes } = await startOverlay(bed, t.teardown, overlay, { args: [`--offload=${offload}`] });
    const [a, b] = nodes as [Node, Node];
    const { offloads } = await a.weftd.ask("/status");
    t.deepEqual(offloads, offload === "none" ? [] : offload.split(","));
    await talkBothWays(t, a, b);
    for (const address of [b.pod.address, b.pod.address6 ?? ""]) {
      t.true((await iperf(a.pod.ns, b.pod.ns, address, { megabytes: 10 })).bitsPerSecond > 10e6);
    }
  });
}

test.serial("traceroute shows weft as a hop between the hosts", async (t) => {
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const { nodes } = await startOverlay(bed, t.teardown, { format: "vxlan", ipv6: true });
  const [a, b] = nodes as [Node, Node];
  const hops = await traceroute(a.pod.ns, b.pod.address);
  t.deepEqual(hops, ["10.5.1.1", "10.5.1.0", "10.5.2.0", "10.5.2.2"]);
  const hops6 = await traceroute(a.pod.ns, b.pod.address6 ?? "");
  t.is(hops6.length, 4);
  t.false(hops6.includes("*"), hops6.join(" "));
});
