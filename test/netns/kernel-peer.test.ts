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
import { kernelMac, type Setting, startBesideKernel } from "../support/beside-kernel.js";
import { captureWire, tunnelDatagrams } from "../support/capture.js";
import type { Pod } from "../support/hosts.js";
import { ports } from "../support/overlay.js";
import { iperf, mustPing } from "../support/traffic.js";

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

const settings: readonly Required<Pick<Setting, "variant" | "underlay" | "offloads">>[] = (
  ["static", "learning"] as const
).flatMap((variant) => [
  { variant, underlay: "ipv4", offloads: false },
  { variant, underlay: "ipv4", offloads: true },
  { variant, underlay: "ipv6", offloads: false },
]);

// One after another: each moves more data than a small machine carries for all at once.
for (const setting of settings) {
  const { variant, underlay, offloads } = setting;
  test.serial(`kernel VTEP, ${variant}, over ${underlay}, offloads ${offloads ? "on" : "off"}`, async (t) => {
    t.timeout(120_000);
    const { bed, weft, kernel, mac } = await startBesideKernel(t.teardown, setting);
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
