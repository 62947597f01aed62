/**
 * Records the real packets that `captures.ts` mutates, into `test/differential/captures`. Run by hand, as root, when
 * they should be others:
 *
 *     npx tsc && node dist/test/differential/record-captures.js
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd ── wire ── host2: flannel.1 of the kernel, or weftd ─ cni0 ─ pod 10.5.2.2
 *                        weft0 ▲          ▲ eth0
 *
 * tcpdump listens on both sides of host1's daemon while the pods ping each other with packets small, large and
 * fragmented, trace the route, and exchange UDP and TCP. Of what passed, a few packets of each shape are kept: from
 * pods to `weft0` ("tx", super-packets with unfinished checksums among them) and from host2 to host1 ("rx").
 */
import { writeFile } from "node:fs/promises";
import { Agent } from "../support/agent.js";
import { Capture } from "../support/capture.js";
import { Bed, type Pod } from "../support/hosts.js";
import { startKernelVtep } from "../support/kernel-vtep.js";
import { Overlay, ports, vni } from "../support/overlay.js";
import { type OnCleanup } from "../support/process.js";
import { iperf, mustPing, ping, traceroute } from "../support/traffic.js";
import { type CaptureFile, captureFile, peerMac } from "./captures.js";

/** Packets kept of each shape, and bytes of the largest. */
const PER_SHAPE = 2;
const LARGEST = 3500;

interface Setting {
  readonly name: string;
  readonly format: "udp" | "vxlan";
  readonly peer: "static" | "learning" | "weft";
  readonly offloads: boolean;
}

const settings: readonly Setting[] = [
  { name: "kernel-vxlan-wire", format: "vxlan", peer: "learning", offloads: false },
  { name: "kernel-vxlan-veth", format: "vxlan", peer: "static", offloads: true },
  { name: "weft-udp", format: "udp", peer: "weft", offloads: false },
];

async function record(setting: Setting, onCleanup: OnCleanup): Promise<void> {
  const { name, format, peer, offloads } = setting;
  const ipv6 = format === "vxlan";
  const bed = await Bed.create(onCleanup, { hosts: 2, offloads });
  const overlay = await Overlay.create(onCleanup, { format, ipv6 });
  const [one, two] = [bed.host(1), bed.host(2)];
  await overlay.addToFile(one);
  await overlay.addToFile(two, peer === "weft" ? undefined : peerMac);
  const near = await overlay.startNode(one);
  const { macs } = await near.weftd.ask("/status");
  const [mac4 = "00:00:00:00:00:00", mac6 = mac4] = macs;
  const { mtu } = await near.weftd.podNetwork();
  const kernel = { address: two.address, mac: peerMac, subnets: overlay.subnets(two) };
  const far =
    peer === "weft"
      ? (await overlay.startNode(two)).pod
      : (
          await startKernelVtep(
            two,
            kernel,
            [{ address: one.address, mac: mac4, subnets: overlay.subnets(one) }],
            { vni, port: ports.vxlan, variant: peer, mtu },
          )
        ).pod;

  const inner = await Capture.start(
    one.ns,
    "weft0",
    "src net 10.5.1.0/24 or src net fd05:0:0:1::/64",
    onCleanup,
  );
  const outer = await Capture.start(one.ns, "eth0", `udp and src host ${two.address}`, onCleanup);
  await exchange(near.pod, far);
  const tx = (await inner.stopWhole()).map((packet) => Buffer.from(packet));
  // Ethernet, IPv4 and UDP headers come off.
  const rx = (await outer.stopWhole()).map((frame) => Buffer.from(frame.subarray(14 + 20 + 8)));
  const file: CaptureFile = {
    format,
    mtu,
    mac4,
    mac6,
    tx: variety(tx, 0).map((packet) => packet.toString("hex")),
    rx: variety(rx, format === "vxlan" ? 22 : 0).map((datagram) => datagram.toString("hex")),
  };
  await writeFile(captureFile(name), `${JSON.stringify(file, null, 1)}\n`);
  console.log(`${name}: ${file.tx.length} of ${tx.length} tx, ${file.rx.length} of ${rx.length} rx`);
}

async function exchange(near: Pod, far: Pod): Promise<void> {
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    for (const address of [to.address, to.address6].filter((each) => each !== null)) {
      await mustPing(from.ns, address);
      await from.ns.run("ping", ["-n", "-c", "1", "-W", "2", "-s", "3000", "-Q", "0x02", address]);
      await ping(from.ns, address, { count: 1, size: 1300 });
      await traceroute(from.ns, address);
      await iperf(from.ns, to.ns, address, { megabytes: 1 });
    }
  }
  const [left, right] = await Promise.all([Agent.start(near.ns), Agent.start(far.ns)]);
  for (const agent of [left, right]) await agent.do("udp-open", { address: "0.0.0.0", port: 7000 });
  for (const size of [1, 100, 1200]) {
    const hex = Buffer.alloc(size, size).toString("hex");
    await left.do("udp-send", { hex, address: far.address, port: 7000 });
    await right.do("udp-send", { hex, address: near.address, port: 7000 });
    await Promise.all([left.datagram(), right.datagram()]);
  }
}

/** A few packets of each shape: what they are in the inner header, TCP flags, and about how large. */
function variety(packets: readonly Buffer[], overhead: number): Buffer[] {
  const seen = new Map<string, number>();
  return packets.filter((packet) => {
    const ip = packet.subarray(overhead);
    const v4 = (ip[0] ?? 0) >> 4 === 4;
    const kind = [packet.subarray(0, overhead).subarray(-2).toString("hex"), v4 ? ip[9] : ip[6]];
    const flags = v4 ? [(ip[6] ?? 0) >> 5, ip[33]] : [ip[53]];
    const size = Math.floor(Math.log2(packet.length));
    const shape = [v4, ...kind, ...flags, size].join(" ");
    const n = (seen.get(shape) ?? 0) + 1;
    seen.set(shape, n);
    return n <= PER_SHAPE && packet.length <= LARGEST;
  });
}

for (const setting of settings) {
  const cleanups: (() => Promise<void> | void)[] = [];
  try {
    await record(setting, (cleanup) => cleanups.push(cleanup));
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}
