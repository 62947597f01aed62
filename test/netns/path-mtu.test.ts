/**
 * A path between hosts that carries less than their interfaces: pods recover by themselves when it shrinks, in the
 * middle of a TCP transfer too; packets without DF arrive in fragments; the daemon says what it learned.
 *
 *     pod ─ cni0 ─ host1 eth0 (1500) ── router, whose route to host2 is narrowed ── eth0 (1500) host2 ─ cni0 ─ pod
 */
import test from "ava";
import { Bed } from "../support/hosts.js";
import { type Node, startOverlay } from "../support/overlay.js";
import { until } from "../support/process.js";
import { iperf, mustPing, ping } from "../support/traffic.js";
import { mustBalance } from "../support/weftd.js";

const cases = [
  { format: "udp", underlay: "ipv4", overhead: 28 },
  { format: "vxlan", underlay: "ipv4", overhead: 50 },
  { format: "vxlan", underlay: "ipv6", overhead: 70 },
] as const;

/** Sends the hosts' packets for each other through the switch's namespace, as a router; returns how to narrow it. */
async function routeThroughWire(
  bed: Bed,
  underlay: "ipv4" | "ipv6",
): Promise<(mtu: number) => Promise<void>> {
  const [one, two] = [bed.host(1), bed.host(2)];
  const router = underlay === "ipv4" ? "192.0.2.254" : "2001:db8::fe";
  const length = underlay === "ipv4" ? 32 : 128;
  for (const [host, other] of [
    [one, two],
    [two, one],
  ] as const) {
    await host.ns.sysctl({
      "net.ipv4.conf.eth0.accept_redirects": 0,
      "net.ipv6.conf.eth0.accept_redirects": 0,
    });
    await host.ns.ip(`route add ${other.address}/${length} via ${router}`);
  }
  await bed.wire.sysctl({
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.br0.send_redirects": 0,
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv6.icmp.ratelimit": 0,
  });
  return (mtu) => bed.wire.ip(`route replace ${two.address}/${length} dev br0 mtu lock ${mtu}`);
}

for (const { format, underlay, overhead } of cases) {
  test(`${format} over ${underlay}: pods find the MTU of a path that shrinks`, async (t) => {
    t.timeout(120_000);
    const ipv6 = format === "vxlan";
    const bed = await Bed.create(t.teardown, { hosts: 2, underlay });
    const narrow = await routeThroughWire(bed, underlay);
    const { nodes } = await startOverlay(bed, t.teardown, { format, ipv6 });
    const [a, b] = nodes as [Node, Node];
    const learned = async (): Promise<number | null> =>
      (await a.weftd.ask("/peers")).find(({ address }) => address === b.host.address)?.pathMtu ?? null;
    const sent = (): Promise<number> => a.weftd.counter("tx", "bytes");
    await mustPing(a.pod.ns, b.pod.address, { size: 1500 - overhead - 28 });
    t.is(await learned(), null);

    // In the middle of a transfer the path shrinks twice.
    const transfer = iperf(a.pod.ns, b.pod.ns, b.pod.address, { megabytes: 300 });
    for (const mtu of [1400, 1280]) {
      const before = await sent();
      await until("the transfer runs", async () => ((await sent()) > before + 10e6 ? true : null));
      await narrow(mtu);
      await until(`a path MTU of ${mtu}`, async () => ((await learned()) === mtu ? true : null));
    }
    const { bitsPerSecond } = await transfer;
    t.true(bitsPerSecond > 0);

    // The sender is told, exactly; what may be fragmented arrives.
    const inner = 1280 - overhead;
    await a.pod.ns.ip("route flush cache");
    const tooBig = await ping(a.pod.ns, b.pod.address, { size: inner - 28 + 1, count: 1 });
    t.is(tooBig.received, 0);
    t.regex(tooBig.output, new RegExp(`mtu ?= ?${inner}\\b`));
    await mustPing(a.pod.ns, b.pod.address, { size: inner - 28 });
    const uncut = await a.pod.ns.run("ping", [
      "-n",
      "-c",
      "2",
      "-i",
      "0.3",
      "-W",
      "2",
      "-M",
      "dont",
      ...["-s", "4000", b.pod.address],
    ]);
    t.regex(uncut, / 2 received/);

    t.true(a.weftd.log().some(({ msg, mtu }) => /path/.test(String(msg)) && mtu === 1280));
    await mustBalance(a.weftd, b.weftd);
  });
}

test("IPv6 pods find the MTU of a path", async (t) => {
  t.timeout(60_000);
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const narrow = await routeThroughWire(bed, "ipv4");
  const { nodes } = await startOverlay(bed, t.teardown, { format: "vxlan", ipv6: true });
  const [a, b] = nodes as [Node, Node];
  await narrow(1400);
  const address = b.pod.address6 ?? "";
  // The first is lost to the router's word, the second to the daemon's, which the pod hears.
  await ping(a.pod.ns, address, { size: 1450 - 48, count: 2 });
  const told = await ping(a.pod.ns, address, { size: 1450 - 48, count: 1 });
  t.regex(told.output, /mtu\W+1350\b/i);
  await mustPing(a.pod.ns, address, { size: 1350 - 48 });
  t.true((await iperf(a.pod.ns, b.pod.ns, address, { megabytes: 20 })).bitsPerSecond > 0);
  await mustBalance(a.weftd, b.weftd);
});
