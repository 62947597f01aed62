/**
 * IP headers that are broken, odd, or longer than usual. What passes is delivered as it came, or sent with one TTL
 * less.
 */
import {
  DESTINATION_OPTIONS,
  type Extension,
  HOP_BY_HOP,
  icmp,
  ip,
  pattern,
  tcp,
  udp,
  withBytes,
  withHeaderBytes,
} from "../support/craft.js";
import { type Both, IPV6, passesBothWays, refused } from "./both.js";
import { tx4 } from "./case.js";

const LSRR = [131, 7, 4, 10, 5, 3, 9];
const SSRR = [137, 7, 4, 10, 5, 3, 9];
const nops = (n: number): number[] => Array<number>(n).fill(1);
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** A routing header (RFC 8200 4.4): type, segments left, and one address. */
function routing(type: number, segmentsLeft: number): Extension {
  return {
    type: 43,
    rest: [2, type, segmentsLeft, 0, 0, 0, 0, 0xfd, 5, 0, 0, 0, 0, 0, 3, ...Array<number>(7).fill(0), 9],
  };
}

export const headers: readonly Both[] = [
  refused("runt", "IPv4 of every length below its header's", (f) =>
    upTo(20)
      .slice(1)
      .map((n) => udp(f).subarray(0, n)),
  ),
  refused("runt", "IPv4 with its last byte cut off", (f) => udp(f).subarray(0, 31)),
  refused("runt", "IPv4 cut at the end of its header", (f) => udp(f).subarray(0, 20)),
  refused("runt", "IPv4 that tells 65 535 bytes", (f) => withHeaderBytes(udp(f), { 2: 0xff, 3: 0xff })),
  refused("runt", "IPv4 with a 60-byte header of which 40 are there", (f) =>
    udp({ ...f, options: nops(40) }).subarray(0, 40),
  ),
  refused(
    "runt",
    "IPv6 of every length below its header's",
    (f) =>
      upTo(40)
        .slice(1)
        .map((n) => udp(f).subarray(0, n)),
    IPV6,
  ),
  refused("runt", "IPv6 with its last byte cut off", (f) => udp(f).subarray(0, 51), IPV6),
  refused(
    "runt",
    "IPv6 that tells 65 535 bytes of payload",
    (f) => withBytes(udp(f), { 4: 0xff, 5: 0xff }),
    IPV6,
  ),

  refused("bad_header", "versions that are neither 4 nor 6", (f) =>
    [0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15].map((version) =>
      withBytes(udp(f), { 0: (version << 4) | 5 }),
    ),
  ),
  refused("bad_header", "header lengths below 20", (f) =>
    upTo(5).map((n) => withHeaderBytes(udp(f), { 0: 0x40 | n })),
  ),
  refused("bad_header", "total length zero", (f) => withHeaderBytes(udp(f), { 2: 0, 3: 0 })),
  refused("bad_header", "total length of one byte less than the header", (f) =>
    withHeaderBytes(udp(f), { 3: 19 }),
  ),
  refused("bad_header", "a 60-byte header in a packet of 59 bytes", (f) =>
    withHeaderBytes(udp({ ...f, options: nops(40) }), { 3: 59 }),
  ),
  refused("bad_header", "a header length that reaches beyond the packet's total", (f) =>
    withBytes(udp(f), { 0: 0x4f }),
  ),

  refused("bad_checksum", "header checksum zero", (f) => withBytes(udp(f), { 10: 0, 11: 0 })),
  refused("bad_checksum", "header checksum off by one", (f) => {
    const packet = udp(f);
    return withBytes(packet, { 11: ((packet[11] ?? 0) + 1) & 0xff });
  }),
  refused("bad_checksum", "each bit of the header's addresses damaged alone", (f) =>
    upTo(64).map((bit) => {
      const packet = udp(f);
      const at = 12 + (bit >> 3);
      return withBytes(packet, { [at]: (packet[at] ?? 0) ^ (1 << (bit & 7)) });
    }),
  ),
  refused("bad_checksum", "TTL decremented without the checksum", (f) => withBytes(udp(f), { 8: 63 })),
  refused("bad_checksum", "the last option of a 60-byte header damaged", (f) =>
    withBytes(udp({ ...f, options: nops(40) }), { 59: 3 }),
  ),
  refused("bad_checksum", "the bytes of the checksum swapped", (f) => {
    const packet = udp(f);
    return withBytes(packet, { 10: packet[11] ?? 0, 11: packet[10] ?? 0 });
  }),

  refused("source_route", "a loose source route", (f) => udp({ ...f, options: [...LSRR, 0] })),
  refused("source_route", "a strict source route", (f) => udp({ ...f, options: [...SSRR, 0] })),
  refused("source_route", "a source route behind no-operations", (f) => udp({ ...f, options: [1, ...LSRR] })),
  refused("source_route", "a source route at the end of a 60-byte header", (f) =>
    udp({ ...f, options: [...nops(33), ...LSRR] }),
  ),
  refused("source_route", "a source route behind a timestamp", (f) =>
    udp({ ...f, options: [68, 8, 5, 0, 0, 0, 0, 0, ...SSRR, 0] }),
  ),
  refused("source_route", "a source route that has been used up", (f) =>
    udp({ ...f, options: [131, 7, 8, 10, 5, 3, 9, 0] }),
  ),
  refused("source_route", "a source route without room for an address", (f) =>
    udp({ ...f, options: [131, 3, 4, 0] }),
  ),
  refused(
    "source_route",
    "a routing header of type 0 with a segment left",
    (f) => udp({ ...f, extensions: [routing(0, 1)] }),
    IPV6,
  ),
  refused(
    "source_route",
    "a routing header of type 0 behind other extensions",
    (f) => udp({ ...f, extensions: [HOP_BY_HOP, DESTINATION_OPTIONS, routing(0, 1)] }),
    IPV6,
  ),
  refused(
    "source_route",
    "a routing header of type 0 with more segments than addresses",
    (f) => udp({ ...f, extensions: [routing(0, 255)] }),
    IPV6,
  ),
  refused(
    "source_route",
    "a routing header of type 0 behind one of another type",
    (f) => udp({ ...f, extensions: [routing(2, 0), routing(0, 1)] }),
    IPV6,
  ),

  passesBothWays("record route in a 60-byte header", (f) =>
    udp({ ...f, options: [7, 39, 4, ...Array<number>(36).fill(0), 0] }),
  ),
  passesBothWays("forty no-operations", (f) => udp({ ...f, options: nops(40) })),
  passesBothWays("a timestamp option", (f) => udp({ ...f, options: [68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0] })),
  passesBothWays("a router alert", (f) => udp({ ...f, options: [148, 4, 0, 0] })),
  passesBothWays("a security option", (f) => udp({ ...f, options: [130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] })),
  passesBothWays("an unknown option", (f) => udp({ ...f, options: [222, 4, 131, 7] })),
  passesBothWays("an option of length zero is the receiver's business", (f) =>
    udp({ ...f, options: [7, 0, 0, 0] }),
  ),
  passesBothWays("an option that overruns the header is the receiver's business", (f) =>
    udp({ ...f, options: [7, 44, 4, 0] }),
  ),
  passesBothWays("what looks like a source route behind the end of options", (f) =>
    udp({ ...f, options: [0, ...LSRR] }),
  ),
  passesBothWays("what looks like a source route inside another option", (f) =>
    udp({ ...f, options: [222, 8, ...LSRR.slice(0, 6)] }),
  ),
  passesBothWays("TCP behind a 60-byte header and with a 60-byte header", (f) =>
    tcp({ ...f, options: nops(40), tcpOptions: nops(40) }),
  ),
  passesBothWays("TTL and protocol that make the checksum wrap", (f) => udp({ ...f, id: 0xffff, tos: 0x00 })),
  passesBothWays("an identification of every bit", (f) => udp({ ...f, id: 0xa5a5 })),
  passesBothWays("DF clear", (f) => udp({ ...f, df: false, id: 7 })),
  passesBothWays("the reserved flag of RFC 3514", (f) => withHeaderBytes(udp(f), { 6: 0xc0 })),
  passesBothWays("a header and nothing behind it", (f) => ip(f, 17, new Uint8Array())),
  passesBothWays("a header and nothing behind it, IPv6", (f) => ip(f, 59, new Uint8Array()), IPV6),
  passesBothWays("ICMP echo", (f) => icmp(f)),
  passesBothWays("ICMPv6 echo", (f) => icmp(f), IPV6),
  passesBothWays("UDP over IPv6", (f) => udp(f), IPV6),
  passesBothWays("TCP over IPv6", (f) => tcp(f), IPV6),
  passesBothWays("SCTP", (f) => ip(f, 132, pattern(32))),
  passesBothWays("a protocol nobody knows", (f) => ip(f, 253, pattern(9))),
  passesBothWays("IP in IP: an IPv4 packet inside", (f) =>
    ip(f, 4, udp({ source: "10.5.3.1", destination: "192.0.2.3" })),
  ),
  passesBothWays("GRE inside", (f) => ip(f, 47, Buffer.concat([Buffer.from([0, 0, 8, 0]), udp(tx4)]))),
  passesBothWays("protocol zero", (f) => ip(f, 0, pattern(16))),
  passesBothWays("a flow label", (f) => udp({ ...f, flow: 0xabcde }), IPV6),
  passesBothWays("hop-by-hop options", (f) => udp({ ...f, extensions: [HOP_BY_HOP] }), IPV6),
  passesBothWays("destination options", (f) => tcp({ ...f, extensions: [DESTINATION_OPTIONS] }), IPV6),
  passesBothWays(
    "eight extension headers",
    (f) => udp({ ...f, extensions: [HOP_BY_HOP, ...Array<Extension>(7).fill(DESTINATION_OPTIONS)] }),
    IPV6,
  ),
  passesBothWays(
    "a routing header of type 0 that has arrived",
    (f) => udp({ ...f, extensions: [routing(0, 0)] }),
    IPV6,
  ),
  passesBothWays(
    "a routing header of type 2 on its way",
    (f) => udp({ ...f, extensions: [routing(2, 1)] }),
    IPV6,
  ),
  passesBothWays("segment routing on its way", (f) => udp({ ...f, extensions: [routing(4, 1)] }), IPV6),
  passesBothWays("ESP", (f) => ip(f, 50, pattern(40)), IPV6),
  passesBothWays(
    "an extension header that the packet's end cuts off",
    (f) => ip(f, 0, Buffer.from([17, 9, 1, 2])),
    IPV6,
  ),
  passesBothWays(
    "an extension header longer than the packet",
    (f) => ip(f, 60, Buffer.from([17, 255, 1, 4, 0, 0, 0, 0])),
    IPV6,
  ),
  passesBothWays(
    "an atomic fragment",
    (f) => udp({ ...f, extensions: [{ type: 44, rest: [0, 0, 0, 0, 0, 0, 7] }] }),
    IPV6,
  ),
];
