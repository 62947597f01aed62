/** What IP carries: fragments of every shape, and upper layers that only their receiver can judge. */
import { fragmentHeader, icmp, ip, pattern, tcp, udp, withBytes } from "../support/craft.js";
import { type Both, IPV6, passesBothWays } from "./both.js";

/** Reassembled nowhere, looked into nowhere: fragments of every shape travel like any packet. */
export const fragments: readonly Both[] = [
  passesBothWays("a first fragment", (f) => udp({ ...f, df: false, more: true, id: 9 }, pattern(24))),
  passesBothWays("a first fragment of eight bytes", (f) =>
    ip({ ...f, df: false, more: true, id: 9 }, 6, pattern(8)),
  ),
  passesBothWays("a TCP fragment at offset eight, which hides the flags", (f) =>
    ip({ ...f, df: false, offset: 8, id: 9 }, 6, pattern(12)),
  ),
  passesBothWays("a middle fragment", (f) =>
    ip({ ...f, df: false, more: true, offset: 1480, id: 9 }, 17, pattern(64)),
  ),
  passesBothWays("a last fragment", (f) => ip({ ...f, df: false, offset: 1480, id: 9 }, 17, pattern(5))),
  passesBothWays("a fragment that overlaps the one before it", (f) =>
    ip({ ...f, df: false, offset: 16, id: 9 }, 17, pattern(40)),
  ),
  passesBothWays("a fragment that ends beyond 65 535", (f) =>
    ip({ ...f, df: false, offset: 65_528, id: 9 }, 17, pattern(100)),
  ),
  passesBothWays("a fragment with DF", (f) => ip({ ...f, more: true, id: 9 }, 17, pattern(16))),
  passesBothWays("a later fragment whose first bytes look like UDP to the tunnel's port", (f) =>
    ip({ ...f, df: false, offset: 64, id: 9 }, 17, tunnelPorts()),
  ),
  passesBothWays("an empty fragment", (f) =>
    ip({ ...f, df: false, more: true, offset: 8, id: 9 }, 17, new Uint8Array()),
  ),
  passesBothWays(
    "an IPv6 first fragment",
    (f) => udp({ ...f, extensions: [fragmentHeader(0, true)] }, pattern(24)),
    IPV6,
  ),
  passesBothWays(
    "an IPv6 later fragment",
    (f) => ip({ ...f, extensions: [fragmentHeader(1448, false)] }, 17, pattern(24)),
    IPV6,
  ),
  passesBothWays(
    "an IPv6 later fragment whose bytes look like a header of type 0",
    (f) => ip({ ...f, extensions: [fragmentHeader(8, false)] }, 43, Buffer.from([17, 2, 0, 1])),
    IPV6,
  ),
  passesBothWays(
    "an IPv6 fragment header that the packet's end cuts off",
    (f) => ip(f, 44, Buffer.from([17, 0, 0])),
    IPV6,
  ),
];

/** The receiver's business: weft neither repairs nor drops them. */
export const checksums: readonly Both[] = [
  passesBothWays("a wrong UDP checksum", (f) => udp({ ...f, sum: "wrong" })),
  passesBothWays("no UDP checksum", (f) => udp({ ...f, sum: "none" })),
  passesBothWays("a wrong TCP checksum", (f) => tcp({ ...f, sum: "wrong" })),
  passesBothWays("a TCP checksum of zero", (f) => tcp({ ...f, sum: "none" })),
  passesBothWays("a wrong ICMP checksum", (f) => icmp({ ...f, sum: "wrong" })),
  passesBothWays("a wrong UDP checksum over IPv6", (f) => udp({ ...f, sum: "wrong" }), IPV6),
  passesBothWays("no UDP checksum over IPv6", (f) => udp({ ...f, sum: "none" }), IPV6),
  passesBothWays("a wrong TCP checksum over IPv6", (f) => tcp({ ...f, sum: "wrong" }), IPV6),
  passesBothWays("a wrong ICMPv6 checksum", (f) => icmp({ ...f, sum: "wrong" }), IPV6),
  passesBothWays("a UDP length that is too long", (f) => udp({ ...f, udpLength: 500 })),
  passesBothWays("a UDP length that is too short", (f) => udp({ ...f, udpLength: 9 })),
  passesBothWays("half a UDP header", (f) => ip(f, 17, pattern(4))),
  passesBothWays("half a TCP header", (f) => ip(f, 6, pattern(10))),
  passesBothWays("a TCP header that tells less than its own length", (f) => withBytes(tcp(f), { 32: 0x10 })),
  passesBothWays("a TCP header that tells more than the packet has", (f) => withBytes(tcp(f), { 32: 0xf0 })),
  passesBothWays("every TCP flag at once", (f) => tcp({ ...f, flags: 0xff })),
];

function tunnelPorts(): Uint8Array {
  return Buffer.from([0x20, 0x5d, 0x21, 0x18, 0, 8, 0, 0]);
}
