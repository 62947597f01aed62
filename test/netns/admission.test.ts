/**
 * What the strict rules let in, from those who really send it: hosts that masquerade, hosts that speak for themselves,
 * kernels that omit checksums, dual-stack VTEPs, and tunnels between pods.
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd ── wire ── host2: weftd, or a kernel's VTEP ─ cni0 ─ pod 10.5.2.2
 */
import test from "ava";
import { Agent } from "../support/agent.js";
import { kernelMac, startBesideKernel, startBesidePeer } from "../support/beside-kernel.js";
import { Capture } from "../support/capture.js";
import { icmp, udp, vxlan } from "../support/craft.js";
import { startEtcd } from "../support/etcd.js";
import { PREFIX } from "../support/etcd-nodes.js";
import { Bed } from "../support/hosts.js";
import { addVtep } from "../support/kernel-vtep.js";
import { type Node, ports, startOverlay } from "../support/overlay.js";
import { readPacket, UDP, viewOf } from "../support/packets.js";
import { temporaryDirectory } from "../support/process.js";
import { mustPing } from "../support/traffic.js";
import { Weftd } from "../support/weftd.js";

for (const format of ["udp", "vxlan"] as const) {
  test(`${format}: a NodePort connection, masqueraded as the node's .0`, async (t) => {
    const bed = await Bed.create(t.teardown, { hosts: 2 });
    const { nodes } = await startOverlay(bed, t.teardown, { format });
    const [a, b] = nodes as [Node, Node];
    const server = await Agent.start(b.pod.ns);
    await server.do("tcp-listen", { address: "0.0.0.0", port: 80 });
    const rules = `
      table ip nodeport {
        chain in { type nat hook prerouting priority -100; tcp dport 30080 dnat to ${b.pod.address}:80; }
        chain out { type nat hook postrouting priority 100; oifname "weft0" masquerade; }
      }`;
    await a.host.ns.nft(rules);
    const client = await Agent.start(bed.wire);
    t.is(await client.do("tcp-ask", { address: a.host.address, port: 30080 }), "10.5.1.0");
  });

  test(`${format}: a host-network sender, with its overlay address and with its underlay address`, async (t) => {
    const bed = await Bed.create(t.teardown, { hosts: 2 });
    const { nodes } = await startOverlay(bed, t.teardown, { format });
    const [a, b] = nodes as [Node, Node];
    const receiver = await Agent.start(b.pod.ns);
    await receiver.do("udp-open", { address: "0.0.0.0", port: 7000 });
    for (const source of ["10.5.1.0", a.host.address]) {
      const sender = await Agent.start(a.host.ns);
      await sender.do("udp-open", { address: source, port: 7000 });
      t.is(await sender.reach(receiver, { address: b.pod.address, port: 7000 }), source);
    }
  });

  test(`${format}: VXLAN between pods, as Kubernetes inside pods makes it`, async (t) => {
    const bed = await Bed.create(t.teardown, { hosts: 2 });
    const { nodes } = await startOverlay(bed, t.teardown, { format });
    const [a, b] = nodes as [Node, Node];
    for (const [own, other, n] of [
      [a.pod, b.pod, 1],
      [b.pod, a.pod, 2],
    ] as const) {
      await own.ns.ip(
        `link add flannel.1 type vxlan id 1 local ${own.address} remote ${other.address} dstport 8472 dev eth0`,
        "link set flannel.1 mtu 1300 up",
        `addr add 10.42.0.${n}/24 dev flannel.1`,
      );
    }
    await mustPing(a.pod.ns, "10.42.0.2", { size: 1200 });
    t.is(await b.weftd.counter("rx", "nested"), 0);
  });
}

test("an IPv6 host-network sender, with its overlay address and with its underlay address", async (t) => {
  const bed = await Bed.create(t.teardown, { hosts: 2, underlay: "ipv6" });
  const { nodes } = await startOverlay(bed, t.teardown, { format: "vxlan", ipv6: true });
  const [a, b] = nodes as [Node, Node];
  const receiver = await Agent.start(b.pod.ns);
  await receiver.do("udp-open", { address: "::", port: 7000 });
  for (const source of ["fd05:0:0:1::", a.host.address]) {
    const sender = await Agent.start(a.host.ns);
    await sender.do("udp-open", { address: source, port: 7000 });
    t.is(await sender.reach(receiver, { address: b.pod.address6 ?? "", port: 7000 }), source);
  }
});

for (const underlay of ["ipv4", "ipv6"] as const) {
  test(`a kernel VTEP that sends no outer checksums over ${underlay}`, async (t) => {
    const extra = underlay === "ipv4" ? "noudpcsum" : "udp6zerocsumtx udp6zerocsumrx";
    const { bed, weft, kernel: pod } = await startBesideKernel(t.teardown, { underlay, extra });
    const capture = await Capture.start(
      bed.wire,
      "br0",
      `udp and src host ${bed.host(2).address}`,
      t.teardown,
    );
    await mustPing(pod.ns, weft.pod.address);
    await mustPing(pod.ns, weft.pod.address6 ?? "");
    const sums = (await capture.stop(1))
      .map(readPacket)
      .filter(({ protocol }) => protocol === UDP)
      .map(({ payload }) => viewOf(payload).getUint16(6));
    t.true(sums.length > 0);
    t.deepEqual([...new Set(sums)], [0], "what passed had no checksum");
  });
}

test("Ethernet padding behind a packet", async (t) => {
  const { bed, weft, mac } = await startBesidePeer(t.teardown);
  const [one, two] = [bed.host(1), bed.host(2)];
  const receiver = await Agent.start(weft.pod.ns);
  await receiver.do("udp-open", { address: "0.0.0.0", port: 5000 });
  const peer = await Agent.start(two.ns);
  await peer.do("udp-open", { address: two.address, port: ports.vxlan });
  const packet = udp({ source: "10.5.2.2", destination: weft.pod.address }, "weft");
  const padded = Buffer.concat([packet, Buffer.alloc(46 - packet.length, 0xee)]);
  const frame = vxlan({ destination: mac, source: kernelMac, ethertype: 0x0800 }, padded);
  await peer.do("udp-send", {
    hex: Buffer.from(frame).toString("hex"),
    address: one.address,
    port: ports.vxlan,
  });
  t.is((await receiver.datagram()).hex, Buffer.from("weft").toString("hex"));
});

test("both devices of a dual-stack flannel node, each with its MAC", async (t) => {
  const bed = await Bed.create(t.teardown, { hosts: 3, underlay: "dual" });
  const [one, two, three] = [bed.host(1), bed.host(2), bed.host(3)];
  const etcd = await startEtcd(t.teardown, { netns: three.ns.name, address: three.address });
  const network = {
    Network: "10.5.0.0/16",
    EnableIPv6: true,
    IPv6Network: "fd05::/48",
    Backend: { Type: "vxlan" },
  };
  await etcd.put(`${PREFIX}/config`, JSON.stringify(network));
  const macs = { 4: "02:00:00:00:00:24", 6: "02:00:00:00:00:26" } as const;
  const lease = {
    PublicIP: "192.0.2.2",
    PublicIPv6: "2001:db8::2",
    BackendType: "vxlan",
    BackendData: { VNI: 1, VtepMAC: macs[4] },
    BackendV6Data: { VNI: 1, VtepMAC: macs[6] },
  };
  await etcd.put(`${PREFIX}/subnets/10.5.200.0-24&fd05:0:0:c8::-64`, JSON.stringify(lease));
  const weftd = await Weftd.start(one.ns, await temporaryDirectory(t.teardown), {
    args: [`--etcd-endpoints=${etcd.endpoint}`, "--node-id=host1"],
  });
  await weftd.peers(1);
  const network1 = await weftd.podNetwork();
  const pod = await one.addPod(network1);
  const [mac4 = "", mac6 = ""] = (await weftd.ask("/status")).macs;
  t.not(mac4, mac6);

  const [subnet = "", subnet6 = ""] = (await weftd.ask("/status")).subnets;
  const options = { vni: 1, port: ports.vxlan, variant: "static", mtu: network1.mtu } as const;
  const own4 = { address: "192.0.2.2", mac: macs[4], subnets: ["10.5.200.0/24"] };
  const own6 = { address: "2001:db8::2", mac: macs[6], subnets: ["fd05:0:0:c8::/64"] };
  await addVtep(two, "flannel.1", own4, [{ address: "192.0.2.1", mac: mac4, subnets: [subnet] }], options);
  await addVtep(
    two,
    "flannel-v6.1",
    own6,
    [{ address: "2001:db8::1", mac: mac6, subnets: [subnet6] }],
    options,
  );
  await mustPing(two.ns, pod.address);
  await mustPing(two.ns, pod.address6 ?? "");
  await mustPing(pod.ns, "10.5.200.0");
  await mustPing(pod.ns, "fd05:0:0:c8::");

  // Either MAC is the host's, whatever comes from it and by whichever way.
  const before = await weftd.counter("rx", "forwarded");
  const raw = await Agent.start(two.ns);
  const echo4 = icmp({ source: "10.5.200.0", destination: pod.address });
  const echo6 = icmp({ source: "fd05:0:0:c8::", destination: pod.address6 ?? "" });
  for (const [source, echo, ethertype, from, to] of [
    [macs[6], echo4, 0x0800, "192.0.2.2", "192.0.2.1"],
    [macs[4], echo6, 0x86dd, "192.0.2.2", "192.0.2.1"],
    [macs[4], echo4, 0x0800, "2001:db8::2", "2001:db8::1"],
  ] as const) {
    const data = vxlan({ destination: mac4, source, ethertype }, echo);
    const datagram = udp({ source: from, destination: to, destinationPort: ports.vxlan }, data);
    await raw.do("raw-send", { hex: Buffer.from(datagram).toString("hex"), address: to });
  }
  await mustPing(two.ns, pod.address);
  t.true((await weftd.counter("rx", "forwarded")) >= before + 3 + 2);
  t.is(await weftd.counter("rx", "bad_mac"), 0);
});
