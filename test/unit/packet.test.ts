/** Packets that weft makes up: every length and checksum right, as the tests' own reader finds. */
import test from "ava";
import { ipHeader, makePacket, udpHeader } from "../../src/net/packet.js";
import { ip } from "../support/addresses.js";
import { readPacket, viewOf } from "../support/packets.js";

for (const [family, source, destination, header] of [
  [4, "10.5.1.2", "10.5.2.2", 20],
  [6, "fd05::1", "fd05::2", 40],
] as const) {
  const ends = { source: ip(source), destination: ip(destination) };

  test(`IPv${family}: packets of every protocol and size are valid`, (t) => {
    const upper = { 1: 8, 6: 20, 17: 8, 58: 8, 132: 0 };
    for (const [protocol, least] of Object.entries(upper)) {
      // ICMP's checksum has no pseudo-header, ICMPv6's has; each belongs to its own family.
      if (Number(protocol) === (family === 4 ? 58 : 1)) continue;
      for (const size of [0, header + least, header + least + 1, 1450]) {
        const packet = makePacket({ ...ends, protocol: Number(protocol) }, 80, size);
        t.is(packet.length, Math.max(size, header + least));
        t.like(readPacket(packet), { source, destination, protocol: Number(protocol), ttl: 64, df: true });
        t.deepEqual(readPacket(packet).problems, []);
      }
    }
  });

  test(`IPv${family}: ports, flags and types are where they belong`, (t) => {
    const payload = (protocol: number) =>
      viewOf(readPacket(makePacket({ ...ends, protocol }, 443, 0)).payload);
    t.is(payload(6).getUint16(2), 443);
    t.is(payload(6).getUint16(12), 0x5002);
    t.is(payload(17).getUint16(2), 443);
    t.is(payload(family === 4 ? 1 : 58).getUint8(0), family === 4 ? 8 : 128);
  });

  test(`IPv${family}: headers alone carry the TOS and the length of what follows`, (t) => {
    const bytes = Buffer.concat([
      ipHeader({ ...ends, protocol: 17, tos: 0xb9 }, 12),
      udpHeader(4242, 8472, 4),
      Buffer.from("weft"),
    ]);
    const { problems, payload } = readPacket(bytes);
    t.deepEqual(problems, family === 4 ? [] : ["checksum of protocol 17"], "the UDP checksum is left out");
    t.deepEqual([viewOf(payload).getUint16(0), viewOf(payload).getUint16(2)], [4242, 8472]);
    const tos = family === 4 ? bytes[1] : (viewOf(bytes).getUint16(0) >> 4) & 0xff;
    t.is(tos, 0xb9);
  });
}
