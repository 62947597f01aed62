/** What happens to packets that are let in: TTL, ECN (RFC 6040) and what a sender behind offloads leaves undone. */
import { DESTINATION_OPTIONS, icmp, ip, pattern, tcp, udp } from "../support/craft.js";
import {
  delivered,
  dropped,
  inner,
  type Lab,
  labs,
  outer,
  passes,
  rx,
  rx4,
  rx6,
  type RxCase,
  VXLAN,
  type Written,
} from "./case.js";

/** ECN fields (RFC 3168 section 5). */
const codepoints = { "Not-ECT": 0, "ECT(1)": 1, "ECT(0)": 2, CE: 3 } as const;
type Codepoint = keyof typeof codepoints;

/** RFC 6040 section 4.2: by inner and outer field, the field that goes on; null: the packet is dropped. */
const decapsulated: readonly (readonly [Codepoint, Codepoint, Codepoint | null])[] = [
  ["Not-ECT", "Not-ECT", "Not-ECT"],
  ["Not-ECT", "ECT(0)", "Not-ECT"],
  ["Not-ECT", "ECT(1)", "Not-ECT"],
  ["Not-ECT", "CE", null],
  ["ECT(0)", "Not-ECT", "ECT(0)"],
  ["ECT(0)", "ECT(0)", "ECT(0)"],
  ["ECT(0)", "ECT(1)", "ECT(1)"],
  ["ECT(0)", "CE", "CE"],
  ["ECT(1)", "Not-ECT", "ECT(1)"],
  ["ECT(1)", "ECT(0)", "ECT(1)"],
  ["ECT(1)", "ECT(1)", "ECT(1)"],
  ["ECT(1)", "CE", "CE"],
  ["CE", "Not-ECT", "CE"],
  ["CE", "ECT(0)", "CE"],
  ["CE", "ECT(1)", "CE"],
  ["CE", "CE", "CE"],
];

function ecn(fields: typeof rx4 | typeof rx6, family: string): RxCase[] {
  // The DSCP of both headers is set too, and of the inner one must stay.
  const packet = (field: Codepoint): Uint8Array => tcp({ ...fields, tos: 0xb8 | codepoints[field] });
  return decapsulated.map(([inside, outside, result]) =>
    rx(
      `ECN ${inside} inside, ${outside} outside, ${family}`,
      outer({ tos: 0x28 | codepoints[outside] }, packet(inside)),
      result === null ? dropped("ecn") : delivered(packet(result)),
      fields === rx6 ? { labs: VXLAN } : {},
    ),
  );
}

/** The packet of the same contents whose checksum has been completed. */
function partial(name: string, make: (sum: "partial" | "right") => Uint8Array): RxCase {
  return rx(`unfinished checksum: ${name}`, inner(make("partial")), delivered(make("right")));
}

/** A packet larger than the MTU, from a sender on the same machine whose kernel left the cutting to a device. */
function superPacket(name: string, packet: Uint8Array, written: (lab: Lab) => Written): RxCase {
  return rx(name, inner(packet), (lab) => ({ kind: "delivered", packets: [written(lab)] }));
}

const much = pattern(20_000);

export const contents: readonly RxCase[] = [
  rx("TTL 0", inner(udp({ ...rx4, ttl: 0 })), dropped("ttl")),
  rx("TTL 0 in TCP", inner(tcp({ ...rx4, ttl: 0 })), dropped("ttl")),
  rx("TTL 0 behind options", inner(udp({ ...rx4, ttl: 0, options: [148, 4, 0, 0] })), dropped("ttl")),
  rx("TTL 0 to our own address", inner(icmp({ ...rx4, ttl: 0, destination: "10.5.1.0" })), dropped("ttl")),
  rx("hop limit 0", inner(udp({ ...rx6, ttl: 0 })), dropped("ttl")),
  rx(
    "TTL 0 and forged: the TTL is named",
    inner(udp({ ...rx4, ttl: 0, source: "10.5.3.9" })),
    dropped("ttl"),
  ),
  rx(
    "TTL 0 and a martian: the martian is named",
    inner(udp({ ...rx4, ttl: 0, source: "127.0.0.1" })),
    dropped("martian"),
  ),
  passes("TTL 1 arrives as 1", udp({ ...rx4, ttl: 1 })),
  passes("TTL 255", udp({ ...rx4, ttl: 255 })),
  passes("hop limit 1", udp({ ...rx6, ttl: 1 })),

  ...ecn(rx4, "IPv4"),
  ...ecn(rx6, "IPv6"),
  rx("congestion outside a UDP packet that cannot hear of it", outer({ tos: 3 }, udp(rx4)), dropped("ecn")),
  rx(
    "congestion outside an ICMP packet that cannot hear of it",
    outer({ tos: 3 }, icmp(rx4)),
    dropped("ecn"),
  ),
  rx(
    "congestion marked into a packet with options",
    outer({ tos: 3 }, udp({ ...rx4, tos: 2, options: [148, 4, 0, 0] })),
    delivered(udp({ ...rx4, tos: 3, options: [148, 4, 0, 0] })),
  ),
  rx(
    "congestion marked into a fragment",
    outer({ tos: 3 }, ip({ ...rx4, tos: 1, df: false, offset: 8 }, 17, pattern(32))),
    delivered(ip({ ...rx4, tos: 3, df: false, offset: 8 }, 17, pattern(32))),
  ),
  rx(
    "congestion marked beside a flow label",
    outer({ tos: 3 }, udp({ ...rx6, tos: 2, flow: 0xfffff })),
    delivered(udp({ ...rx6, tos: 3, flow: 0xfffff })),
    { labs: VXLAN },
  ),
  rx(
    "congestion outside a forged packet: forging is named",
    outer({ tos: 3 }, udp({ ...rx4, source: "10.5.3.9" })),
    dropped("spoofed"),
  ),

  partial("TCP", (sum) => tcp({ ...rx4, sum })),
  partial("UDP", (sum) => udp({ ...rx4, sum })),
  partial("TCP over IPv6", (sum) => tcp({ ...rx6, sum })),
  partial("UDP over IPv6", (sum) => udp({ ...rx6, sum })),
  partial("TCP behind IPv4 options", (sum) => tcp({ ...rx4, sum, options: [1, 1, 1, 0] })),
  partial("UDP behind an IPv6 extension header", (sum) =>
    udp({ ...rx6, sum, extensions: [DESTINATION_OPTIONS] }),
  ),
  partial("an odd number of bytes", (sum) => udp({ ...rx4, sum }, "odd")),
  passes(
    "what looks unfinished in a first fragment stays as it is",
    udp({ ...rx4, sum: "partial", df: false, more: true }, pattern(24)),
  ),
  rx(
    "behind a routing header on its way no checksum is looked at",
    inner(unfinishedOnItsWay()),
    delivered(unfinishedOnItsWay()),
  ),

  superPacket("a TCP super-packet with a right checksum", tcp(rx4, much), (lab) => ({
    bytes: tcp(rx4, much),
    gsoSize: lab.mtu - 40,
  })),
  superPacket(
    "a TCP super-packet with an unfinished checksum",
    tcp({ ...rx4, sum: "partial" }, much),
    (lab) => ({ bytes: tcp(rx4, much), gsoSize: lab.mtu - 40 }),
  ),
  superPacket(
    "a TCP super-packet with options",
    tcp({ ...rx4, tcpOptions: Array<number>(12).fill(1) }, much),
    (lab) => ({ bytes: tcp({ ...rx4, tcpOptions: Array<number>(12).fill(1) }, much), gsoSize: lab.mtu - 52 }),
  ),
  superPacket("a TCP super-packet over IPv6", tcp({ ...rx6, sum: "partial" }, much), (lab) => ({
    bytes: tcp(rx6, much),
    gsoSize: lab.mtu - 60,
  })),
  rx(
    "a TCP super-packet with a wrong checksum",
    inner(tcp({ ...rx4, sum: "wrong" }, much)),
    dropped("bad_checksum"),
  ),
  rx(
    "a TCP super-packet over IPv6 with a wrong checksum",
    inner(tcp({ ...rx6, sum: "wrong" }, much)),
    dropped("bad_checksum"),
  ),
  rx(
    "a UDP packet larger than the MTU with a wrong checksum",
    inner(udp({ ...rx4, sum: "wrong" }, much)),
    dropped("bad_checksum"),
  ),
  rx("a TCP super-packet that tells no header", inner(shortTcp(rx4)), dropped("bad_header")),
  rx("a TCP super-packet over IPv6 that tells no header", inner(shortTcp(rx6)), dropped("bad_header")),
  rx("IPv6 in the udp format", inner(udp(rx6)), dropped("ethertype"), { labs: [labs.udp] }),
  rx(
    "IPv6 in the udp format, from our own address",
    inner(udp({ ...rx6, source: "fd05:0:0:1::2" })),
    dropped("ethertype"),
    { labs: [labs.udp] },
  ),
  rx(
    "a neighbour solicitation in the udp format",
    inner(icmp({ ...rx6, type: 135, ttl: 255 }, pattern(16))),
    dropped("ethertype"),
    { labs: [labs.udp] },
  ),
  rx(
    "bytes behind the inner packet in the udp format are cut off",
    (lab) => ({ payload: Buffer.concat([udp(rx4), pattern(lab.port % 100)]) }),
    delivered(udp(rx4)),
    { labs: [labs.udp] },
  ),
];

/** The device is there and takes nothing. */
export const refusedByTun: readonly RxCase[] = [udp(rx4), tcp(rx4), icmp(rx4), udp(rx6), tcp(rx4, much)].map(
  (packet, i) =>
    rx(
      `weft0 is down: ${["UDP", "TCP", "an echo request", "IPv6", "a super-packet"][i] ?? ""}`,
      inner(packet),
      dropped("tun_write"),
      { tunDown: true },
    ),
);

/** A routing header with a segment left makes the checksum that of another destination (RFC 8200 8.1). */
function unfinishedOnItsWay(): Uint8Array {
  const address = [0xfd, 5, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9];
  return udp({ ...rx6, sum: "partial", extensions: [{ type: 43, rest: [2, 4, 1, 0, 0, 0, 0, ...address] }] });
}

/** The data offset says 16 bytes, and the checksum is right. */
function shortTcp(fields: typeof rx4 | typeof rx6): Uint8Array {
  const right = tcp(fields, much);
  const at = fields === rx4 ? 32 : 52;
  const bytes = Uint8Array.from(right);
  bytes[at] = 0x40;
  // One byte more in the urgent pointer's place takes away what the data offset gave up.
  bytes[at + 6] = 0x10;
  return bytes;
}
