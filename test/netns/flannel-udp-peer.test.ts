/**
 * flannel's udp format byte for byte: the other node is a plain socket, which sees what weft sends as it is, and
 * sends what flannel would.
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd (captured at the pod) ── wire ── host2: a socket on port 8285, 10.5.2.0/24
 */
import test, { type ExecutionContext } from "ava";
import { Agent } from "../support/agent.js";
import { Capture } from "../support/capture.js";
import { Bed } from "../support/hosts.js";
import { type Node, Overlay, ports } from "../support/overlay.js";
import { udp } from "../support/craft.js";
import { viewOf } from "../support/packets.js";

async function start(t: ExecutionContext): Promise<{ weft: Node; peer: Agent }> {
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const overlay = await Overlay.create(t.teardown, { format: "udp" });
  for (const host of bed.hosts) await overlay.addToFile(host);
  const weft = await overlay.startNode(bed.host(1));
  const peer = await Agent.start(bed.host(2).ns);
  await peer.do("udp-open", { address: bed.host(2).address, port: ports.udp });
  return { weft, peer };
}

/** A socket in weft's pod, and what datagrams of flannel's pod to it have in common. */
async function listen({ pod }: Node): Promise<{ receiver: Agent; fields: Parameters<typeof udp>[0] }> {
  const receiver = await Agent.start(pod.ns);
  await receiver.do("udp-open", { address: "0.0.0.0", port: 5000 });
  const fields = {
    source: "10.5.2.9",
    destination: pod.address,
    sourcePort: 4000,
    destinationPort: 5000,
    id: 77,
  };
  return { receiver, fields };
}

test("what weft sends is the inner packet and nothing else, its TTL one less, its checksums right", async (t) => {
  const { weft, peer } = await start(t);
  const sender = await Agent.start(weft.pod.ns);
  await sender.do("udp-open", { address: weft.pod.address, port: 4000 });
  for (const data of ["weft", "", "x".repeat(1444)]) {
    const hex = Buffer.from(data).toString("hex");
    await sender.do("udp-send", { hex, address: "10.5.2.9", port: 5000 });
    const received = await peer.datagram();
    t.is(received.address, weft.host.address);
    t.is(received.port, ports.udp);
    const packet = Buffer.from(received.hex, "hex");
    const expected = udp(
      {
        source: weft.pod.address,
        destination: "10.5.2.9",
        sourcePort: 4000,
        destinationPort: 5000,
        // From the pod with 64, one taken by the host's routing, one by weft.
        ttl: 62,
        // The pod's kernel chooses it.
        id: viewOf(packet).getUint16(4),
      },
      Buffer.from(data),
    );
    t.is(received.hex, Buffer.from(expected).toString("hex"));
  }
});

test("what a flannel node sends reaches the pod unchanged but for the host's TTL", async (t) => {
  const { weft, peer } = await start(t);
  const capture = await Capture.start(weft.pod.ns, "eth0", "udp and src host 10.5.2.9", t.teardown);
  const { receiver, fields } = await listen(weft);
  const texts = ["weft", "", "x".repeat(1444)];
  for (const text of texts) {
    const packet = udp({ ...fields, ttl: 10 }, Buffer.from(text));
    await peer.do("udp-send", {
      hex: Buffer.from(packet).toString("hex"),
      address: weft.host.address,
      port: ports.udp,
    });
    t.deepEqual(await receiver.datagram(), {
      hex: Buffer.from(text).toString("hex"),
      address: "10.5.2.9",
      port: 4000,
    });
  }
  const seen = await capture.stop(texts.length);
  const hex = (packet: Uint8Array): string => Buffer.from(packet).toString("hex");
  // weft takes nothing from the TTL when it unpacks; the host's routing behind it takes one.
  t.deepEqual(
    seen.map(hex),
    texts.map((text) => hex(udp({ ...fields, ttl: 9 }, Buffer.from(text)))),
  );
});

test("damaged and strange datagrams are dropped under their reason, and the next one passes", async (t) => {
  const { weft, peer } = await start(t);
  const { receiver, fields } = await listen(weft);
  const good = udp(fields, Buffer.from("good"));
  const withByte = (at: number, value: number): Uint8Array => Uint8Array.from(good).fill(value, at, at + 1);
  const cases = [
    { reason: "runt", packet: good.subarray(0, good.length - 1) },
    { reason: "bad_header", packet: withByte(0, 0x44) },
    { reason: "bad_checksum", packet: withByte(8, 63) },
    { reason: "spoofed", packet: udp({ ...fields, source: "10.5.3.9" }, Buffer.from("bad")) },
    { reason: "not_local", packet: udp({ ...fields, destination: "10.5.3.9" }, Buffer.from("bad")) },
    { reason: "martian", packet: udp({ ...fields, source: weft.pod.address }, Buffer.from("bad")) },
  ];
  for (const { reason, packet } of cases) {
    for (const bytes of [packet, good]) {
      const hex = Buffer.from(bytes).toString("hex");
      await peer.do("udp-send", { hex, address: weft.host.address, port: ports.udp });
    }
    t.is((await receiver.datagram()).hex, Buffer.from("good").toString("hex"), reason);
    t.is(await weft.weftd.counter("rx", reason), 1, reason);
  }
  t.deepEqual(await receiver.do("udp-take", {}), []);
});
