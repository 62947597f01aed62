/**
 * IP headers that are broken, odd, or longer than usual: the same rows in both directions, since both begin with the
 * same look at the inner packet. What passes is delivered as it came, or sent with one less TTL.
 */
import {
  type Extension,
  icmp,
  ip,
  type IpFields,
  pattern,
  tcp,
  udp,
  withBytes,
  withHeaderBytes,
} from "../support/craft.js";
import {
  delivered,
  dropped,
  inner,
  rx,
  rx4,
  rx6,
  type RxCase,
  sent,
  tx,
  tx4,
  tx6,
  type TxCase,
} from "./case.js";

interface Both {
  readonly rx: RxCase;
  readonly tx: TxCase;
}

type Make = (fields: {
  readonly source: string;
  readonly destination: string;
}) => Uint8Array | readonly Uint8Array[];

/** Broken in the same way in both directions; `make` gets the addresses. */
function refused(
  reason: string,
  name: string,
  make: Make,
  fields: readonly [IpFields, IpFields] = [rx4, tx4],
): Both {
  const list = (addresses: IpFields): readonly Uint8Array[] => {
    const made = make(addresses);
    return made instanceof Uint8Array ? [made] : made;
  };
  return {
    rx: rx(name, list(fields[0]).map(inner), dropped(reason)),
    tx: tx(name, list(fields[1]), dropped(reason)),
  };
}

const IPV6 = [rx6, tx6] as const;

/** Odd but right. `make` gets addresses and TTL. */
function passes(
  name: string,
  make: (fields: IpFields & { readonly ttl: number }) => Uint8Array,
  fields: readonly [IpFields, IpFields] = [rx4, tx4],
): Both {
  const [toUs, toPeer] = fields;
  const arrives = make({ ...toUs, ttl: 64 });
  return {
    rx: rx(name, inner(arrives), delivered(arrives)),
    tx: tx(name, make({ ...toPeer, ttl: 64 }), sent(make({ ...toPeer, ttl: 63 }))),
  };
}

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
const hopByHop: Extension = { type: 0, rest: [0, 1, 4, 0, 0, 0, 0] };
const destinationOptions: Extension = { type: 60, rest: [0, 1, 4, 0, 0, 0, 0] };

const rows: readonly Both[] = [
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
    (f) => udp({ ...f, extensions: [hopByHop, destinationOptions, routing(0, 1)] }),
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

  passes("record route in a 60-byte header", (f) =>
    udp({ ...f, options: [7, 39, 4, ...Array<number>(36).fill(0), 0] }),
  ),
  passes("forty no-operations", (f) => udp({ ...f, options: nops(40) })),
  passes("a timestamp option", (f) => udp({ ...f, options: [68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0] })),
  passes("a router alert", (f) => udp({ ...f, options: [148, 4, 0, 0] })),
  passes("a security option", (f) => udp({ ...f, options: [130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] })),
  passes("an unknown option", (f) => udp({ ...f, options: [222, 4, 131, 7] })),
  passes("an option of length zero is the receiver's business", (f) => udp({ ...f, options: [7, 0, 0, 0] })),
  passes("an option that overruns the header is the receiver's business", (f) =>
    udp({ ...f, options: [7, 44, 4, 0] }),
  ),
  passes("what looks like a source route behind the end of options", (f) =>
    udp({ ...f, options: [0, ...LSRR] }),
  ),
  passes("what looks like a source route inside another option", (f) =>
    udp({ ...f, options: [222, 8, ...LSRR.slice(0, 6)] }),
  ),
  passes("TCP behind a 60-byte header and with a 60-byte header", (f) =>
    tcp({ ...f, options: nops(40), tcpOptions: nops(40) }),
  ),
  passes("TTL and protocol that make the checksum wrap", (f) => udp({ ...f, id: 0xffff, tos: 0x00 })),
  passes("an identification of every bit", (f) => udp({ ...f, id: 0xa5a5 })),
  passes("DF clear", (f) => udp({ ...f, df: false, id: 7 })),
  passes("the reserved flag of RFC 3514", (f) => withHeaderBytes(udp(f), { 6: 0xc0 })),
  passes("a header and nothing behind it", (f) => ip(f, 17, new Uint8Array())),
  passes("a header and nothing behind it, IPv6", (f) => ip(f, 59, new Uint8Array()), IPV6),
  passes("ICMP echo", (f) => icmp(f)),
  passes("ICMPv6 echo", (f) => icmp(f), IPV6),
  passes("UDP over IPv6", (f) => udp(f), IPV6),
  passes("TCP over IPv6", (f) => tcp(f), IPV6),
  passes("SCTP", (f) => ip(f, 132, pattern(32))),
  passes("a protocol nobody knows", (f) => ip(f, 253, pattern(9))),
  passes("IP in IP: an IPv4 packet inside", (f) =>
    ip(f, 4, udp({ source: "10.5.3.1", destination: "192.0.2.3" })),
  ),
  passes("GRE inside", (f) => ip(f, 47, Buffer.concat([Buffer.from([0, 0, 8, 0]), udp(tx4)]))),
  passes("protocol zero", (f) => ip(f, 0, pattern(16))),
  passes("a flow label", (f) => udp({ ...f, flow: 0xabcde }), IPV6),
  passes("hop-by-hop options", (f) => udp({ ...f, extensions: [hopByHop] }), IPV6),
  passes("destination options", (f) => tcp({ ...f, extensions: [destinationOptions] }), IPV6),
  passes(
    "eight extension headers",
    (f) => udp({ ...f, extensions: [hopByHop, ...Array<Extension>(7).fill(destinationOptions)] }),
    IPV6,
  ),
  passes(
    "a routing header of type 0 that has arrived",
    (f) => udp({ ...f, extensions: [routing(0, 0)] }),
    IPV6,
  ),
  passes("a routing header of type 2 on its way", (f) => udp({ ...f, extensions: [routing(2, 1)] }), IPV6),
  passes("segment routing on its way", (f) => udp({ ...f, extensions: [routing(4, 1)] }), IPV6),
  passes("ESP", (f) => ip(f, 50, pattern(40)), IPV6),
  passes(
    "an extension header that the packet's end cuts off",
    (f) => ip(f, 0, Buffer.from([17, 9, 1, 2])),
    IPV6,
  ),
  passes(
    "an extension header longer than the packet",
    (f) => ip(f, 60, Buffer.from([17, 255, 1, 4, 0, 0, 0, 0])),
    IPV6,
  ),
  passes(
    "an atomic fragment",
    (f) => udp({ ...f, extensions: [{ type: 44, rest: [0, 0, 0, 0, 0, 0, 7] }] }),
    IPV6,
  ),
];

/** Reassembled nowhere, looked into nowhere: fragments of every shape travel like any packet. */
const fragments: readonly Both[] = [
  passes("a first fragment", (f) => udp({ ...f, df: false, more: true, id: 9 }, pattern(24))),
  passes("a first fragment of eight bytes", (f) => ip({ ...f, df: false, more: true, id: 9 }, 6, pattern(8))),
  passes("a TCP fragment at offset eight, which hides the flags", (f) =>
    ip({ ...f, df: false, offset: 8, id: 9 }, 6, pattern(12)),
  ),
  passes("a middle fragment", (f) =>
    ip({ ...f, df: false, more: true, offset: 1480, id: 9 }, 17, pattern(64)),
  ),
  passes("a last fragment", (f) => ip({ ...f, df: false, offset: 1480, id: 9 }, 17, pattern(5))),
  passes("a fragment that overlaps the one before it", (f) =>
    ip({ ...f, df: false, offset: 16, id: 9 }, 17, pattern(40)),
  ),
  passes("a fragment that ends beyond 65 535", (f) =>
    ip({ ...f, df: false, offset: 65_528, id: 9 }, 17, pattern(100)),
  ),
  passes("a fragment with DF", (f) => ip({ ...f, more: true, id: 9 }, 17, pattern(16))),
  passes("a later fragment whose first bytes look like UDP to the tunnel's port", (f) =>
    ip({ ...f, df: false, offset: 64, id: 9 }, 17, tunnelPorts()),
  ),
  passes("an empty fragment", (f) =>
    ip({ ...f, df: false, more: true, offset: 8, id: 9 }, 17, new Uint8Array()),
  ),
  passes(
    "an IPv6 first fragment",
    (f) => udp({ ...f, extensions: [fragmentHeader(0, true)] }, pattern(24)),
    IPV6,
  ),
  passes(
    "an IPv6 later fragment",
    (f) => ip({ ...f, extensions: [fragmentHeader(1448, false)] }, 17, pattern(24)),
    IPV6,
  ),
  passes(
    "an IPv6 later fragment whose bytes look like a header of type 0",
    (f) => ip({ ...f, extensions: [fragmentHeader(8, false)] }, 43, Buffer.from([17, 2, 0, 1])),
    IPV6,
  ),
  passes(
    "an IPv6 fragment header that the packet's end cuts off",
    (f) => ip(f, 44, Buffer.from([17, 0, 0])),
    IPV6,
  ),
];

/** The receiver's business: weft neither repairs nor drops them. */
const sums: readonly Both[] = [
  passes("a wrong UDP checksum", (f) => udp({ ...f, sum: "wrong" })),
  passes("no UDP checksum", (f) => udp({ ...f, sum: "none" })),
  passes("a wrong TCP checksum", (f) => tcp({ ...f, sum: "wrong" })),
  passes("a TCP checksum of zero", (f) => tcp({ ...f, sum: "none" })),
  passes("a wrong ICMP checksum", (f) => icmp({ ...f, sum: "wrong" })),
  passes("a wrong UDP checksum over IPv6", (f) => udp({ ...f, sum: "wrong" }), IPV6),
  passes("no UDP checksum over IPv6", (f) => udp({ ...f, sum: "none" }), IPV6),
  passes("a wrong TCP checksum over IPv6", (f) => tcp({ ...f, sum: "wrong" }), IPV6),
  passes("a wrong ICMPv6 checksum", (f) => icmp({ ...f, sum: "wrong" }), IPV6),
  passes("a UDP length that is too long", (f) => udp({ ...f, udpLength: 500 })),
  passes("a UDP length that is too short", (f) => udp({ ...f, udpLength: 9 })),
  passes("half a UDP header", (f) => ip(f, 17, pattern(4))),
  passes("half a TCP header", (f) => ip(f, 6, pattern(10))),
  passes("a TCP header that tells less than its own length", (f) => withBytes(tcp(f), { 32: 0x10 })),
  passes("a TCP header that tells more than the packet has", (f) => withBytes(tcp(f), { 32: 0xf0 })),
  passes("every TCP flag at once", (f) => tcp({ ...f, flags: 0xff })),
];

const everything = [...rows, ...fragments, ...sums];
export const headersRx: readonly RxCase[] = everything.map((row) => row.rx);
export const headersTx: readonly TxCase[] = everything.map((row) => row.tx);

function fragmentHeader(offset: number, more: boolean): Extension {
  return { type: 44, rest: [0, offset >> 8, (offset & 0xf8) | (more ? 1 : 0), 0, 0, 0, 9] };
}

function tunnelPorts(): Uint8Array {
  return Buffer.from([0x20, 0x5d, 0x21, 0x18, 0, 8, 0, 0]);
}
