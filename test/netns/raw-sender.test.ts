/**
 * Senders that write their own IP headers: weft forwards what may travel, exactly, and drops the rest under its reason.
 * The other node is a plain socket that sees what weft sends.
 *
 *     raw socket on host1 ── weft0, weftd ── wire ── host2: a socket on port 8285, 10.5.2.0/24
 */
import test from "ava";
import { Agent } from "../support/agent.js";
import { Bed } from "../support/hosts.js";
import { Overlay, ports } from "../support/overlay.js";
import { udp } from "../support/craft.js";
import { readPacket } from "../support/packets.js";
import { mustBalance } from "../support/weftd.js";

const fields = {
  source: "10.5.1.0",
  destination: "10.5.2.9",
  sourcePort: 4000,
  destinationPort: 5000,
  id: 7,
  ttl: 9,
} as const;
const data = Buffer.from("weft");

const dropped = [
  ["ttl", udp({ ...fields, ttl: 1 }, data)],
  ["ttl", udp({ ...fields, ttl: 0 }, data)],
  ["martian", udp({ ...fields, source: "127.0.0.1" }, data)],
  ["martian", udp({ ...fields, source: "224.0.0.5" }, data)],
  ["source_route", udp({ ...fields, options: [131, 7, 4, 10, 5, 2, 9, 0] }, data)],
  ["source_route", udp({ ...fields, options: [1, 137, 7, 4, 10, 5, 2, 9] }, data)],
  ["no_route", udp({ ...fields, destination: "10.5.77.1" }, data)],
  ["own_subnet", udp({ ...fields, destination: "10.5.1.99" }, data)],
] as const;

test("what a raw sender writes is forwarded exactly or dropped under its reason", async (t) => {
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const overlay = await Overlay.create(t.teardown, { format: "udp" });
  for (const host of bed.hosts) await overlay.addToFile(host);
  const [one, two] = [bed.host(1), bed.host(2)];
  const weftd = await overlay.startWeftd(one);
  const peer = await Agent.start(two.ns);
  await peer.do("udp-open", { address: two.address, port: ports.udp });
  const sender = await Agent.start(one.ns);
  const send = (packet: Uint8Array): Promise<null> =>
    sender.do("raw-send", {
      hex: Buffer.from(packet).toString("hex"),
      address: readPacket(packet).destination,
    });

  for (const [reason, packet] of dropped) {
    const before = await weftd.counter("tx", reason);
    await send(packet);
    // The packet is through the TUN when the call returns; the worker may still be at it.
    await mustBalance(weftd);
    t.is(await weftd.counter("tx", reason), before + 1, reason);
  }

  // A record-route option is the routers' business, not ours; sixty bytes are the longest header there is.
  const recordRoute = [7, 39, 4, ...Array<number>(36).fill(0), 0];
  for (const options of [[], recordRoute]) {
    await send(udp({ ...fields, options }, data));
    const { hex } = await peer.datagram();
    const expected = udp({ ...fields, options, ttl: fields.ttl - 1 }, data);
    t.is(hex, Buffer.from(expected).toString("hex"));
  }
});
