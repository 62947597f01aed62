/**
 * DSCP and ECN across the tunnel (RFC 6040): the outer header carries what the inner one says, a mark that the underlay
 * makes reaches the pod, and a packet that cannot carry it is dropped.
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd ─ (nftables marks) ── wire ── host2: weftd ─ cni0 ─ pod 10.5.2.2
 */
import test from "ava";
import { Capture, captureWire, tunnelDatagrams } from "../support/capture.js";
import { Bed } from "../support/hosts.js";
import { type Node, ports, startOverlay } from "../support/overlay.js";
import { readPacket } from "../support/packets.js";
import { mustPing, ping } from "../support/traffic.js";

const cases = [
  { format: "udp", underlay: "ipv4" },
  { format: "vxlan", underlay: "ipv4" },
  { format: "vxlan", underlay: "ipv6" },
] as const;

const [NOT_ECT, ECT1, ECT0, CE] = [0, 1, 2, 3];

for (const { format, underlay } of cases) {
  test(`${format} over ${underlay}: TOS and traffic class travel outside, marks come in`, async (t) => {
    t.timeout(60_000);
    const ipv6 = format === "vxlan";
    const bed = await Bed.create(t.teardown, { hosts: 2, underlay });
    const { nodes } = await startOverlay(bed, t.teardown, { format, ipv6 });
    const [a, b] = nodes as [Node, Node];
    const targets = ipv6 ? [b.pod.address, b.pod.address6 ?? ""] : [b.pod.address];
    const fields = [0, 0xff, 0xb8 | ECT0, 0x28 | ECT1];

    const wire = await captureWire(bed, t.teardown);
    for (const address of targets) {
      for (const tos of fields) await mustPing(a.pod.ns, address, { count: 1, tos });
    }
    const rules = { format, port: ports[format], mtu: bed.mtu };
    const seen = tunnelDatagrams(await wire.stop(2 * fields.length * targets.length), rules);
    t.deepEqual(
      seen.filter(({ outer, inner }) => outer.tos !== inner?.tos),
      [],
    );
    const requests = seen.filter(({ outer }) => outer.source === a.host.address);
    t.deepEqual(
      requests.map(({ outer }) => outer.tos),
      targets.flatMap(() => fields),
    );

    // A router on the way that is congested all the time.
    const ip = underlay === "ipv4" ? "ip" : "ip6";
    // By its path: below npm, node_modules/.bin goes first, and a package there has a program of that name.
    await a.host.ns.run("/usr/sbin/nft", [
      `table inet weft-test { chain out { type filter hook output priority mangle; udp dport ${ports[format]} ${ip} ecn set ce; }; }`,
    ]);
    for (const address of targets) {
      const requests = "icmp[icmptype] == icmp-echo or ip6[40] == 128";
      const arrived = await Capture.start(b.pod.ns, "eth0", requests, t.teardown);
      for (const ect of [ECT0, ECT1, CE]) await mustPing(a.pod.ns, address, { count: 1, tos: 0x28 | ect });
      const echoes = (await arrived.stop(3)).map(readPacket);
      t.deepEqual(
        echoes.map(({ tos }) => tos),
        [0x28 | CE, 0x28 | CE, 0x28 | CE],
      );
      t.deepEqual(
        echoes.flatMap(({ problems }) => problems),
        [],
      );
      const before = await b.weftd.counter("rx", "ecn");
      const { sent, received } = await ping(a.pod.ns, address, { count: 1, tos: 0x28 | NOT_ECT });
      t.is(received, 0);
      t.is(await b.weftd.counter("rx", "ecn"), before + sent);
    }
  });
}
