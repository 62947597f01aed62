/**
 * Super-packets and unfinished checksums between weft and a kernel's VXLAN device whose cable leaves offloads on: what
 * the kernel hands to weft's socket, no wire would carry. Nothing verifies checksums on such a way, so whole streams
 * are compared.
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd ── veth with offloads ── host2: flannel.1 (kernel) ─ cni0 ─ pod 10.5.2.2
 */
import test, { type ExecutionContext } from "ava";
import { Agent } from "../support/agent.js";
import { startBesideKernel } from "../support/beside-kernel.js";
import { captureWire, tunnelDatagrams } from "../support/capture.js";
import type { Pod } from "../support/hosts.js";
import { ports } from "../support/overlay.js";
import { until } from "../support/process.js";
import { mustPing } from "../support/traffic.js";

const BYTES = 8_000_000;

/** A TCP stream from one pod to the other must arrive as it was sent. */
async function pour(t: ExecutionContext, from: Pod, to: Pod, address: string, port: number): Promise<void> {
  const [sender, receiver] = await Promise.all([Agent.start(from.ns), Agent.start(to.ns)]);
  await receiver.do("tcp-take", { address: "::", port });
  const sent = await sender.do("tcp-pour", { address, port, bytes: BYTES });
  t.is(await receiver.do("tcp-taken", {}), sent, `to ${address}`);
}

/** Ten numbered datagrams in one send must arrive as ten, in order. */
async function sendRun(
  t: ExecutionContext,
  from: Pod,
  to: Pod,
  address: string,
  port: number,
): Promise<void> {
  const receiver = await Agent.start(to.ns);
  await receiver.do("stream-receive", { address: "::", port });
  // UDP_SEGMENT is socket option 103 of level 17.
  const script = [
    "import socket, struct",
    `s = socket.socket(socket.${address.includes(":") ? "AF_INET6" : "AF_INET"}, socket.SOCK_DGRAM)`,
    "s.setsockopt(17, 103, 1000)",
    `s.sendto(b''.join(struct.pack('>I', n) + bytes(996) for n in range(10)), ('${address}', ${port}))`,
  ];
  await from.ns.run("python3", ["-c", script.join("\n")]);
  const report = await until("ten datagrams", async () => {
    const now = await receiver.do("stream-report", {});
    return now.received >= 10 ? now : null;
  });
  t.deepEqual(report, { received: 10, duplicates: 0, reordered: 0 }, `to ${address}`);
}

for (const underlay of ["ipv4", "ipv6"] as const) {
  test.serial(`over ${underlay}, TCP and UDP, both ways`, async (t) => {
    const { bed, weft, kernel } = await startBesideKernel(t.teardown, { underlay, offloads: true });
    const { pod } = weft;
    const ways = [
      [kernel, pod, pod.address],
      [kernel, pod, pod.address6 ?? ""],
      [pod, kernel, kernel.address],
      [pod, kernel, kernel.address6 ?? ""],
    ] as const;
    const capture = await captureWire(bed, t.teardown);
    for (const [i, [from, to, address]] of ways.entries()) {
      await mustPing(from.ns, address);
      await pour(t, from, to, address, 9000 + i);
      await sendRun(t, from, to, address, 9000 + i);
    }

    // Without super-packets and unfinished checksums from the kernel nothing has been tested.
    const senders = [bed.host(2).address];
    const rules = { format: "vxlan", port: ports.vxlan, mtu: bed.mtu, senders } as const;
    const problems = tunnelDatagrams(await capture.stop(), rules).flatMap((datagram) => datagram.problems);
    t.true(problems.some((problem) => problem.includes("exceed the MTU")));
    t.true(problems.some((problem) => problem === "inner checksum of protocol 6"));
    t.true(problems.some((problem) => problem === "inner checksum of protocol 17"));
  });
}
