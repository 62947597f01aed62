/**
 * The MTU is exact: `subnet.env` names the largest packet that passes, it fills the underlay to the byte, and one
 * byte more brings the sender the ICMP error with that number. The pod is given a larger MTU than the overlay's, so
 * that it is the overlay that says no.
 *
 *     pod (MTU 1500) ─ cni0 ─ host1: weft0 (MTU 1500 − overhead) ── wire (MTU 1500) ── host2 ─ cni0 ─ pod
 */
import test from "ava";
import { captureWire, tunnelDatagrams } from "../support/capture.js";
import { Bed } from "../support/hosts.js";
import { Overlay, ports } from "../support/overlay.js";
import { mustPing, ping } from "../support/traffic.js";

const cases = [
  { format: "udp", underlay: "ipv4", overhead: 28 },
  { format: "vxlan", underlay: "ipv4", overhead: 50 },
  { format: "vxlan", underlay: "ipv6", overhead: 70 },
] as const;

for (const { format, underlay, overhead } of cases) {
  test(`${format} over ${underlay} takes ${overhead} bytes`, async (t) => {
    t.timeout(60_000);
    const bed = await Bed.create(t.teardown, { hosts: 2, underlay });
    const overlay = await Overlay.create(t.teardown, { format, ipv6: format === "vxlan" });
    for (const host of bed.hosts) await overlay.addToFile(host);
    const [one, two] = [bed.host(1), bed.host(2)];
    const [a, b] = [await overlay.startWeftd(one), await overlay.startWeftd(two)];
    const network = await a.podNetwork();
    const mtu = bed.mtu - overhead;
    t.is(network.mtu, mtu);
    t.is((await a.ask("/status")).tun?.mtu, mtu);
    const pod = await one.addPod({ ...network, mtu: bed.mtu });
    const other = await two.addPod({ ...(await b.podNetwork()), mtu: bed.mtu });
    const capture = await captureWire(bed, t.teardown);

    const targets = [
      { address: other.address, headers: 28 },
      { address: other.address6, headers: 48 },
    ];
    for (const { address, headers } of targets) {
      if (address === null) continue;
      await mustPing(pod.ns, address, { size: mtu - headers });
      const tooBig = await ping(pod.ns, address, { size: mtu - headers + 1, count: 1 });
      t.is(tooBig.received, 0);
      t.regex(tooBig.output, new RegExp(`mtu ?= ?${mtu}\\b`, "i"));
    }

    const datagrams = tunnelDatagrams(await capture.stop(), { format, port: ports[format], mtu: bed.mtu });
    t.is(Math.max(...datagrams.map(({ outerLength }) => outerLength)), bed.mtu);
    t.deepEqual(
      datagrams.flatMap(({ problems }) => problems),
      [],
    );
  });
}
