/**
 * weft beside a host whose VTEP is the kernel's VXLAN device, set up as flannel does it and set up with learning, so
 * that ARP and neighbour solicitations cross the tunnel. Neither can tell the other from its own kind.
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd ── wire ── host2: flannel.1 (kernel) ─ cni0 ─ pod 10.5.2.2
 *
 * With offloads between the hosts the kernel hands weft's socket what no wire would carry: unfinished checksums,
 * super-packets of up to 64 KB in one datagram, and runs of UDP segments.
 */
import test from "ava";
import { Agent } from "../support/agent.js";
import { captureWire, tunnelDatagrams } from "../support/capture.js";
import { Bed, type Pod } from "../support/hosts.js";
import { startKernelVtep, type Variant } from "../support/kernel-vtep.js";
import { type Node, Overlay, ports, vni } from "../support/overlay.js";
import { type OnCleanup, until } from "../support/process.js";
import { iperf, mustPing } from "../support/traffic.js";

const kernelMac = "02:00:00:00:00:02";

interface Setting {
  readonly variant: Variant;
  readonly underlay: "ipv4" | "ipv6";
  readonly offloads: boolean;
}

async function start(
  onCleanup: OnCleanup,
  setting: Setting,
): Promise<{ bed: Bed; weft: Node; kernel: Pod; mac: string }> {
  const { variant, ...options } = setting;
  const bed = await Bed.create(onCleanup, { hosts: 2, ...options });
  const overlay = await Overlay.create(onCleanup, { format: "vxlan", ipv6: true });
  const [one, two] = [bed.host(1), bed.host(2)];
  await overlay.addToFile(one);
  await overlay.addToFile(two, kernelMac);
  const weft = await overlay.startNode(one);
  const { macs } = await weft.weftd.ask("/status");
  const { mtu } = await weft.weftd.podNetwork();
  const mac = macs[0] ?? "";
  const { pod } = await startKernelVtep(
    two,
    { address: two.address, mac: kernelMac, subnets: overlay.subnets(two) },
    [{ address: one.address, mac, subnets: overlay.subnets(one) }],
    { vni, port: ports.vxlan, variant, mtu },
  );
  return { bed, weft, kernel: pod, mac };
}

/** One UDP datagram each way, of several sizes: a single packet is treated differently from a stream. */
async function exchangeDatagrams(a: Pod, b: Pod): Promise<string[]> {
  const [left, right] = await Promise.all([Agent.start(a.ns), Agent.start(b.ns)]);
  await left.do("udp-open", { address: "0.0.0.0", port: 7000 });
  await right.do("udp-open", { address: "0.0.0.0", port: 7000 });
  const wrong: string[] = [];
  for (const size of [1, 100, 1200]) {
    for (const [from, to, address] of [
      [left, right, b.address],
      [right, left, a.address],
    ] as const) {
      const hex = Buffer.alloc(size, size).toString("hex");
      await from.do("udp-send", { hex, address, port: 7000 });
      if ((await to.datagram()).hex !== hex) wrong.push(`${size} bytes to ${address}`);
    }
  }
  return wrong;
}

const settings: readonly Setting[] = (["static", "learning"] as const).flatMap((variant) => [
  { variant, underlay: "ipv4", offloads: false },
  { variant, underlay: "ipv4", offloads: true },
  { variant, underlay: "ipv6", offloads: false },
]);

// One after another: each moves more data than a small machine carries for all at once.
for (const setting of settings) {
  const { variant, underlay, offloads } = setting;
  test.serial(`kernel VTEP, ${variant}, over ${underlay}, offloads ${offloads ? "on" : "off"}`, async (t) => {
    t.timeout(120_000);
    const { bed, weft, kernel, mac } = await start(t.teardown, setting);
    const capture = await captureWire(bed, t.teardown);

    // First from weft's side, then from the kernel's, which asks for the neighbour in its learning variant.
    await mustPing(kernel.ns, weft.pod.address);
    await mustPing(weft.pod.ns, kernel.address);
    await mustPing(kernel.ns, weft.pod.address6 ?? "");
    await mustPing(weft.pod.ns, kernel.address6 ?? "");
    await mustPing(bed.host(2).ns, weft.pod.address);
    await mustPing(weft.host.ns, kernel.address);
    t.deepEqual(await exchangeDatagrams(weft.pod, kernel), []);
    for (const address of [kernel.address, kernel.address6 ?? ""]) {
      for (const reverse of [false, true]) {
        t.true(
          (await iperf(weft.pod.ns, kernel.ns, address, { megabytes: 20, reverse })).bitsPerSecond > 10e6,
        );
      }
    }
    if (variant === "learning") t.true((await weft.weftd.counter("rx", "consumed")) >= 2);

    if (!offloads) {
      const rules = {
        format: "vxlan",
        port: ports.vxlan,
        mtu: bed.mtu,
        senders: [weft.host.address],
        macs: new Map([
          [weft.host.address, mac],
          [bed.host(2).address, kernelMac],
        ]),
      } as const;
      const datagrams = tunnelDatagrams(await capture.stop(), rules);
      t.true(datagrams.length > 100);
      t.deepEqual(datagrams.filter(({ problems }) => problems.length > 0).slice(0, 3), []);
    }
  });
}

test.serial("a run of UDP segments from a kernel peer arrives as the datagrams it is made of", async (t) => {
  const { weft, kernel } = await start(t.teardown, { variant: "static", underlay: "ipv4", offloads: true });
  const receiver = await Agent.start(weft.pod.ns);
  await receiver.do("stream-receive", { address: "0.0.0.0", port: 9000 });
  // Ten numbered datagrams of 1000 bytes in one send: UDP_SEGMENT is socket option 103 of level 17.
  const script = [
    "import socket, struct",
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "s.setsockopt(17, 103, 1000)",
    `s.sendto(b''.join(struct.pack('>I', n) + bytes(996) for n in range(10)), ('${weft.pod.address}', 9000))`,
  ];
  await mustPing(kernel.ns, weft.pod.address);
  await kernel.ns.run("python3", ["-c", script.join("\n")]);
  const report = await until("ten datagrams", async () => {
    const now = await receiver.do("stream-report", {});
    return now.received >= 10 ? now : null;
  });
  t.deepEqual(report, { received: 10, duplicates: 0, reordered: 0 });
});
