/**
 * What the strict rules keep out and a flag lets in, from those who really send it: without the flag it is dropped
 * under its reason and the log names the flag; with it, it arrives.
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd ── wire ── host2: weftd, or a kernel's VTEP ─ cni0 ─ pod 10.5.2.2
 */
import test, { type ExecutionContext } from "ava";
import { Agent } from "../support/agent.js";
import { kernelMac, startBesideKernel, startBesidePeer } from "../support/beside-kernel.js";
import { Bed, type Host } from "../support/hosts.js";
import { type Node, ports, startOverlay, vni } from "../support/overlay.js";
import { until } from "../support/process.js";
import type { Weftd } from "../support/weftd.js";

const port = 7000;

/** Two sockets: one that sends as whatever the test is about, one in the pod of host1. */
async function sockets(from: Host["ns"], to: Node): Promise<{ sender: Agent; receiver: Agent }> {
  const [sender, receiver] = await Promise.all([Agent.start(from), Agent.start(to.pod.ns)]);
  await sender.do("udp-open", { address: "0.0.0.0", port });
  await receiver.do("udp-open", { address: "0.0.0.0", port });
  return { sender, receiver };
}

/** Sends, and holds the daemon to dropping it under `reason` and to saying `advice` in its log. */
async function mustDrop(
  t: ExecutionContext,
  sender: Agent,
  to: Node,
  weftd: Weftd,
  reason: string,
  advice: RegExp,
): Promise<void> {
  const before = await weftd.counter("rx", reason);
  await sender.do("udp-send", { hex: "00", address: to.pod.address, port });
  await until(`a drop as ${reason}`, async () =>
    (await weftd.counter("rx", reason)) > before ? true : null,
  );
  const line = await until(
    `a line about ${reason}`,
    () => weftd.log().find((entry) => entry["reason"] === reason) ?? null,
  );
  t.regex(String(line["msg"]), advice);
}

for (const format of ["udp", "vxlan"] as const) {
  test(`${format}: a peer behind NAT needs --peer-alias`, async (t) => {
    const bed = await Bed.create(t.teardown, { hosts: 2 });
    const { overlay, nodes } = await startOverlay(bed, t.teardown, { format });
    const [a, b] = nodes as [Node, Node];
    // Each way on its own, as by a gateway that host2 knows nothing of; replies find host2 under its own address.
    const rules = `
      table ip gateway {
        chain out {
          type filter hook postrouting priority 0;
          ip saddr 192.0.2.2 udp dport ${ports[format]} ip saddr set 192.0.2.20
        }
      }`;
    await b.host.ns.nft(rules);
    const { sender, receiver } = await sockets(b.pod.ns, a);
    await mustDrop(t, sender, a, a.weftd, "unknown_peer", /--peer-alias=/);
    await a.weftd.stop();

    const weftd = await overlay.startWeftd(a.host, { args: ["--peer-alias=192.0.2.20=192.0.2.2"] });
    t.is(await sender.reach(receiver, { address: a.pod.address, port }), b.pod.address);
    t.is(await receiver.reach(sender, { address: b.pod.address, port }), a.pod.address);
    t.is(await weftd.counter("rx", "unknown_peer"), 0);
  });

  test(`${format}: clients from outside of the overlay that nobody masquerades need --accept-external`, async (t) => {
    const bed = await Bed.create(t.teardown, { hosts: 2 });
    const { overlay, nodes } = await startOverlay(bed, t.teardown, { format });
    const [a, b] = nodes as [Node, Node];
    // The client knows host2 as its router to the overlay, and host2 sends on what it forwards as it is.
    await bed.wire.ip(
      "addr add 198.51.100.7/32 dev lo",
      `route add 10.5.0.0/16 via ${b.host.address} src 198.51.100.7`,
    );
    const { sender, receiver } = await sockets(bed.wire, a);
    await mustDrop(t, sender, a, a.weftd, "spoofed", /--accept-external/);
    await a.weftd.stop();

    await overlay.startWeftd(a.host, { args: ["--accept-external"] });
    t.is(await sender.reach(receiver, { address: a.pod.address, port }), "198.51.100.7");
  });
}

test("a peer that bridges its VTEP needs --accept-bridged", async (t) => {
  const { bed, overlay, weft, mac } = await startBesidePeer(t.teardown);
  const [one, two] = [bed.host(1), bed.host(2)];
  // The device is a port of a bridge that has the address: frames carry the bridge's MAC.
  await two.ns.ip(
    "link add br1 address 0a:58:0a:05:02:01 type bridge",
    `link add vtep1 address ${kernelMac} type vxlan id ${vni} dev eth0 local ${two.address} dstport ${ports.vxlan} nolearning`,
    "link set vtep1 master br1",
    "link set vtep1 mtu 1450 up",
    "link set br1 mtu 1450 up",
    "addr add 10.5.2.1/32 dev br1",
    `neigh add 10.5.1.0 lladdr ${mac} dev br1 nud permanent`,
    "route add 10.5.1.0/24 via 10.5.1.0 dev br1 onlink src 10.5.2.1",
  );
  await two.ns.run("bridge", ["fdb", "append", mac, "dev", "vtep1", "dst", one.address]);
  const { sender, receiver } = await sockets(two.ns, weft);
  await mustDrop(t, sender, weft, weft.weftd, "bad_mac", /--accept-bridged/);
  await weft.weftd.stop();

  await overlay.startWeftd(one, { args: ["--accept-bridged"] });
  t.is(await sender.reach(receiver, { address: weft.pod.address, port }), "10.5.2.1");
  t.is(await receiver.reach(sender, { address: "10.5.2.1", port }), weft.pod.address);
});

test("group policies of a kernel VTEP need GBP in the config, or --lenient-vxlan", async (t) => {
  const { bed, overlay, weft, kernel: pod } = await startBesideKernel(t.teardown, { extra: "gbp" });
  // The policy is the packet's mark.
  const rules = `
    table ip policies {
      chain out {
        type filter hook postrouting priority 0;
        meta mark set 34
      }
    }`;
  await bed.host(2).ns.nft(rules);
  const { sender, receiver } = await sockets(pod.ns, weft);
  await mustDrop(t, sender, weft, weft.weftd, "bad_vxlan", /GBP in the network config.*--lenient-vxlan/);
  await weft.weftd.stop();

  const lenient = await overlay.startWeftd(weft.host, { args: ["--lenient-vxlan"] });
  t.is(await sender.reach(receiver, { address: weft.pod.address, port }), pod.address);
  await lenient.stop();

  await overlay.setGbp(true);
  await overlay.startWeftd(weft.host);
  t.is(await sender.reach(receiver, { address: weft.pod.address, port }), pod.address);
});
