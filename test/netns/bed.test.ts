/**
 * The test bed itself, with two hosts whose VTEPs are the kernel's: what the other tests rely on works without weft,
 * and the checks of captures find what is wrong.
 *
 *     pod ─ cni0 ─ host1: flannel.1 (VXLAN, static) ── wire ── host2: flannel.1 ─ cni0 ─ pod
 */
import test from "ava";
import { Agent, Stream } from "../support/agent.js";
import { captureWire, tunnelDatagrams } from "../support/capture.js";
import { Bed } from "../support/hosts.js";
import { startKernelVtep, type VtepPeer } from "../support/kernel-vtep.js";
import type { OnCleanup } from "../support/process.js";
import { iperf, mustPing, traceroute } from "../support/traffic.js";

const ends: [VtepPeer, VtepPeer] = [
  { address: "192.0.2.1", mac: "02:00:00:00:00:01", subnets: ["10.5.1.0/24", "fd05:0:0:1::/64"] },
  { address: "192.0.2.2", mac: "02:00:00:00:00:02", subnets: ["10.5.2.0/24", "fd05:0:0:2::/64"] },
];

async function twoKernelHosts(onCleanup: OnCleanup, offloads: boolean) {
  const bed = await Bed.create(onCleanup, { hosts: 2, offloads });
  const options = { vni: 1, port: 8472, variant: "static", mtu: 1450 } as const;
  const [one, two] = ends;
  const a = await startKernelVtep(bed.host(1), one, [two], options);
  const b = await startKernelVtep(bed.host(2), two, [one], options);
  return { bed, a: a.pod, b: b.pod };
}

const rules = {
  format: "vxlan",
  port: 8472,
  mtu: 1500,
  macs: new Map(ends.map(({ address, mac }) => [address, mac])),
} as const;

test("without offloads the wire carries finished datagrams only", async (t) => {
  const { bed, a, b } = await twoKernelHosts(t.teardown, false);
  const capture = await captureWire(bed, t.teardown);
  await mustPing(a.ns, b.address);
  await mustPing(a.ns, b.address6 ?? "");
  t.true((await iperf(a.ns, b.ns, b.address, { megabytes: 20 })).bitsPerSecond > 1e6);
  const datagrams = tunnelDatagrams(await capture.stop(), rules);
  t.true(datagrams.length > 100);
  // The kernel leaves DF clear, which weft must not; everything else holds for it too.
  const problems = new Set(datagrams.flatMap((datagram) => datagram.problems));
  t.deepEqual([...problems], ["outer DF is clear"]);
});

test("with offloads the checks find unfinished checksums and datagrams above the MTU", async (t) => {
  const { bed, a, b } = await twoKernelHosts(t.teardown, true);
  const capture = await captureWire(bed, t.teardown);
  await iperf(a.ns, b.ns, b.address, { megabytes: 20 });
  const problems = tunnelDatagrams(await capture.stop(), rules).flatMap((datagram) => datagram.problems);
  t.true(problems.some((problem) => problem.startsWith("outer checksum")));
  t.true(problems.some((problem) => problem.startsWith("inner checksum")));
  t.true(problems.some((problem) => problem.includes("exceed the MTU")));
});

test("agents and traceroute see what they should", async (t) => {
  const { a, b } = await twoKernelHosts(t.teardown, false);
  const [client, server] = await Promise.all([Agent.start(a.ns), Agent.start(b.ns)]);
  await server.do("tcp-listen", { address: "0.0.0.0", port: 80 });
  t.is(await client.do("tcp-ask", { address: b.address, port: 80 }), a.address);
  await t.throwsAsync(client.do("tcp-ask", { address: b.address, port: 81 }), { message: /^ECONNREFUSED/ });
  const stream = await Stream.start(a.ns, b.ns, b.address);
  const { sent, received, duplicates, reordered } = await stream.stop();
  t.deepEqual({ received, duplicates, reordered }, { received: sent, duplicates: 0, reordered: 0 });
  t.deepEqual(await traceroute(a.ns, b.address), ["10.5.1.1", "10.5.2.0", b.address]);
});
