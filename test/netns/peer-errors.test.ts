/**
 * What the network says of one peer is held against that peer alone, and believed no further than it may be.
 *
 *     pod ─ cni0 ─ host1: weftd ── wire ── host2: weftd ─ cni0 ─ pod
 *                                    ├──── host3: nobody listens, its kernel answers "port unreachable"
 *                                    └──── host4: its cable is out, host1's kernel says "no route to host"
 */
import test from "ava";
import { Agent, Stream } from "../support/agent.js";
import { icmpError, udp } from "../support/craft.js";
import { Bed } from "../support/hosts.js";
import { Overlay, ports, startOverlay, type Node } from "../support/overlay.js";
import { until } from "../support/process.js";
import { recordFinding } from "../support/findings.js";
import { mustPing, ping } from "../support/traffic.js";
import { mustBalance, type Weftd } from "../support/weftd.js";

async function errorsOf(weftd: Weftd, address: string): Promise<number> {
  return (await weftd.ask("/peers")).find((peer) => peer.address === address)?.errors ?? -1;
}

for (const format of ["udp", "vxlan"] as const) {
  test(`${format}: peers that cannot be reached cost the others nothing`, async (t) => {
    t.timeout(60_000);
    const bed = await Bed.create(t.teardown, { hosts: 4 });
    const [one, two, three, four] = [bed.host(1), bed.host(2), bed.host(3), bed.host(4)];
    const overlay = await Overlay.create(t.teardown, { format });
    for (const host of bed.hosts) await overlay.addToFile(host);
    const [a, b] = await Promise.all([overlay.startNode(one), overlay.startNode(two)]);
    await four.ns.ip("link set eth0 down");

    const stream = await Stream.start(a.pod.ns, b.pod.ns, b.pod.address);
    const senders: Agent[] = [];
    for (const n of [3, 4]) {
      const sender = await Agent.start(a.pod.ns);
      senders.push(sender);
      await sender.do("stream-send", { address: `10.5.${n}.9`, port: 9000, perSecond: 500, size: 200 });
    }
    for (const host of [three, four]) {
      await until(`errors about ${host.address}`, async () =>
        (await errorsOf(a.weftd, host.address)) > 3 ? true : null,
      );
    }
    await stream.received(500);
    const { sent, received, duplicates, reordered } = await stream.stop();
    t.deepEqual({ received, duplicates, reordered }, { received: sent, duplicates: 0, reordered: 0 });
    t.is(await errorsOf(a.weftd, two.address), 0);
    const told = a.weftd.log().filter(({ msg }) => msg === "a peer cannot be reached");
    t.deepEqual(
      new Set(told.map(({ endpoint, reason }) => `${String(endpoint)} ${String(reason)}`)),
      new Set([`${three.address} ECONNREFUSED`, `${four.address} EHOSTUNREACH`]),
    );
    for (const sender of senders) await sender.do("stream-stop", {});
    await mustBalance(a.weftd, b.weftd);
  });
}

test("H22: a local firewall that drops the tunnel is named by health, and each packet is counted", async (t) => {
  t.timeout(60_000);
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const { nodes } = await startOverlay(bed, t.teardown, { format: "vxlan" });
  const [a, b] = nodes as [Node, Node];
  await mustPing(a.pod.ns, b.pod.address);
  await a.host.ns.nft(`table inet closed {
    chain out { type filter hook output priority 0; udp dport ${ports.vxlan} drop; }
  }`);
  const { received } = await ping(a.pod.ns, b.pod.address, { count: 1 });
  t.is(received, 0);
  const { health } = await until("the firewall in health", async () => {
    const status = await a.weftd.ask("/status");
    return status.health.state === "degraded" ? status : null;
  });
  t.regex(health.reasons.join(), /own firewall drops datagrams/);
  const failed = await a.weftd.counter("tx", "send_failed");
  t.true(failed > 0);
  await a.host.ns.nft("delete table inet closed");
  await mustPing(a.pod.ns, b.pod.address);
  await mustBalance(a.weftd, b.weftd);
  const measured = `${failed} counted as send_failed, degraded with the reason`;
  const bound = "every packet counted, health says why";
  recordFinding({
    row: "H22",
    fault: "the local firewall drops the port",
    test: "test/netns/peer-errors.test.ts",
    bound,
    measured,
  });
});

/** "Fragmentation needed" about a datagram of the tunnel, as anybody can forge it (RFC 792, RFC 1191). */
function fragmentationNeeded(from: string, a: string, b: string, port: number, mtu: number): Uint8Array {
  const ends = { source: a, destination: b, sourcePort: port, destinationPort: port };
  return icmpError(from, 3, 4, udp(ends, new Uint8Array(64)), mtu);
}

test("a forged word about the path narrows it to the floor at most, and traffic goes on", async (t) => {
  t.timeout(60_000);
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const { nodes } = await startOverlay(bed, t.teardown, { format: "vxlan" });
  const [a, b] = nodes as [Node, Node];
  const stranger = await Agent.start(bed.wire);
  const forged = fragmentationNeeded("192.0.2.254", a.host.address, b.host.address, ports.vxlan, 68);
  await mustPing(a.pod.ns, b.pod.address);
  await stranger.do("raw-send", { hex: Buffer.from(forged).toString("hex"), address: a.host.address });
  const learned = await until(
    "the forged MTU",
    async () => (await a.weftd.ask("/peers"))[0]?.pathMtu ?? null,
  );
  t.is(learned, 576);
  for (let i = 0; i < 3; i++) {
    const size = ["-M", "dont", "-s", "1400", "-c", "3", "-i", "0.2", "-W", "2"];
    const output = await a.pod.ns.run("ping", ["-n", ...size, b.pod.address]).catch(String);
    // The first may be lost while the kernel's own, lower, floor (552) is found out.
    if (i > 0) t.regex(output, / 3 received/);
  }
  t.true(((await a.weftd.ask("/peers"))[0]?.pathMtu ?? 0) >= 552);
  await mustBalance(a.weftd, b.weftd);
});
