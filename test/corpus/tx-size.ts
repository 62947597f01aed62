/** What is larger than the tunnel carries: told to the sender, or cut to fit where IPv4 allows it. */
import { icmpError, ip, type IpFields, pattern, tcp, udp } from "../support/craft.js";
import { ALL, type Lab, sentTo, tx, tx4, tx6, type TxCase, type TxOutcome, VXLAN } from "./case.js";

const OUR4 = "10.5.1.0";
const OUR6 = "fd05:0:0:1::";

/** The whole packet must fit into so many bytes. */
export function tooBig(packet: Uint8Array, mtu: number): TxOutcome {
  const six = (packet[0] ?? 0) >> 4 === 6;
  const about = six ? icmpError(OUR6, 2, 0, packet, mtu) : icmpError(OUR4, 3, 4, packet, mtu);
  return { kind: "dropped", reason: "too_big", icmp: about };
}

/** A packet that is `over` bytes larger than the tunnel's MTU. */
function oversized(
  name: string,
  make: (size: number) => Uint8Array,
  over: number,
  where: readonly Lab[] = ALL,
): TxCase {
  const packet = (lab: Lab): Uint8Array => make(lab.mtu + over);
  return tx(name, packet, (lab) => tooBig(packet(lab), lab.mtu), { labs: where });
}

const sized4 = (size: number, fields: Partial<IpFields> = {}): Uint8Array =>
  udp({ ...tx4, ...fields }, pattern(size - 28));
const sized6 = (size: number): Uint8Array => udp(tx6, pattern(size - 48));

/**
 * The fragments of an IPv4 packet without options: as large as fits, and a multiple of eight bytes where another
 * follows (RFC 791 3.2, net/ipv4/ip_output.c).
 */
export function fragments(fields: IpFields, protocol: number, body: Uint8Array, mtu: number): Uint8Array[] {
  const room = mtu - 20;
  const packets: Uint8Array[] = [];
  for (let at = 0; at < body.length;) {
    const last = body.length - at <= room;
    const end = last ? body.length : at + (room & ~7);
    const offset = (fields.offset ?? 0) + at;
    const more = !last || fields.more === true;
    packets.push(ip({ ...fields, offset, more }, protocol, body.subarray(at, end)));
    at = end;
  }
  return packets;
}

const loose = { ...tx4, df: false, id: 0x1234 } as const;

/** Cut into fragments of the tunnel's MTU; what goes out has one TTL less. */
function cut(name: string, fields: IpFields, body: (lab: Lab) => Uint8Array, protocol = 253): TxCase {
  return tx(
    name,
    (lab) => ip(fields, protocol, body(lab)),
    (lab) => {
      const packets = fragments({ ...fields, ttl: (fields.ttl ?? 64) - 1 }, protocol, body(lab), lab.mtu);
      return sentTo("peer", ...packets);
    },
    { labs: ALL },
  );
}

/** Options that are copied into every fragment (the first bit of their type) and some that are not. */
const COPIED = [148, 4, 0, 0];
const NOT_COPIED = [7, 7, 4, 0, 0, 0, 0, 0];

export const sizes: readonly TxCase[] = [
  tx(
    "a packet of exactly the MTU",
    (lab) => sized4(lab.mtu),
    (lab) => sentTo("peer", sized4(lab.mtu, { ttl: 63 })),
  ),
  tx(
    "an IPv6 packet of exactly the MTU",
    (lab) => sized6(lab.mtu),
    (lab) => sentTo("peer", udp({ ...tx6, ttl: 63 }, pattern(lab.mtu - 48))),
    { labs: VXLAN },
  ),
  oversized("one byte more than the MTU, with DF", sized4, 1),
  oversized("a thousand bytes more than the MTU, with DF", sized4, 1000),
  oversized("60 000 bytes more than the MTU, with DF", sized4, 60_000),
  oversized("TCP with DF, one byte more", (size) => tcp(tx4, pattern(size - 40)), 1),
  oversized("a first fragment with DF, one byte more", (size) => sized4(size, { more: true }), 1),
  oversized("IPv6, one byte more than the MTU", sized6, 1, VXLAN),
  oversized("IPv6, 20 000 bytes more than the MTU", sized6, 20_000, VXLAN),
  oversized("TCP over IPv6, one byte more", (size) => tcp(tx6, pattern(size - 60)), 1, VXLAN),

  cut("without DF, one byte more than the MTU: two fragments", loose, (lab) => pattern(lab.mtu - 20 + 1)),
  cut("without DF, exactly twice what fits", loose, (lab) => pattern(2 * ((lab.mtu - 20) & ~7))),
  cut("without DF, one byte more than twice what fits", loose, (lab) =>
    pattern(2 * ((lab.mtu - 20) & ~7) + 1),
  ),
  cut("without DF, a last fragment that fills the MTU to its last byte", loose, (lab) =>
    pattern(((lab.mtu - 20) & ~7) + lab.mtu - 20),
  ),
  cut("without DF, 60 000 bytes", loose, () => pattern(60_000)),
  cut("without DF, with DSCP and ECN, which every outer header has", { ...loose, tos: 0xba }, () =>
    pattern(4000),
  ),
  cut("without DF, TTL 2: every fragment has 1", { ...loose, ttl: 2 }, () => pattern(4000)),
  cut("a first fragment that is itself too large", { ...loose, more: true }, () => pattern(4000)),
  cut("a middle fragment that is itself too large", { ...loose, more: true, offset: 4000 }, () =>
    pattern(4000),
  ),
  cut("a last fragment that is itself too large", { ...loose, offset: 4000 }, () => pattern(4001)),
  cut(
    "UDP without DF: its checksum stays that of the whole",
    loose,
    () => udp(loose, pattern(4000)).subarray(20),
    17,
  ),
  cut("TCP without DF", loose, () => tcp(loose, pattern(4000)).subarray(20), 6),
  tx(
    "without DF and with options: a copy of those that say so, no-operations for the others",
    () => ip({ ...loose, options: [...COPIED, ...NOT_COPIED] }, 253, pattern(2000)),
    (lab) => {
      const step = (lab.mtu - 32) & ~7;
      const first = ip(
        { ...loose, ttl: 63, more: true, options: [...COPIED, ...NOT_COPIED] },
        253,
        pattern(2000).subarray(0, step),
      );
      const options = [...COPIED, ...Array<number>(7).fill(1), 0];
      const second = ip({ ...loose, ttl: 63, offset: step, options }, 253, pattern(2000).subarray(step));
      return sentTo("peer", first, second);
    },
  ),
];

/* --- a peer behind a narrower path, of which the kernel knows -------------------------------------------------- */

const narrow4 = { source: "10.5.1.2", destination: "10.5.7.9" } as const;
const narrow6 = { source: "fd05:0:0:1::2", destination: "fd05:0:0:7::9" } as const;

/** The path's MTU (lab.ts sets it) without what the tunnel puts around a packet. */
function narrowMtu(lab: Lab): number {
  return lab.underlay === "ipv6" ? 1300 - 70 : lab.format === "udp" ? 1000 - 28 : 1000 - 50;
}

/** An IPv6 sender is never told less than 1280 (RFC 8200 5). */
const told6 = 1280;

export const paths: readonly TxCase[] = [
  tx(
    "to a peer behind a narrower path, small enough",
    udp(narrow4),
    sentTo("narrow", udp({ ...narrow4, ttl: 63 })),
  ),
  tx(
    "the first packet that is too large for the path: the kernel says so, and the sender is told",
    () => udp(narrow4, pattern(1300)),
    // On its way to the kernel it has lost one TTL already, which RFC 1812 4.3.2.3 lets stand.
    (lab) => tooBig(udp({ ...narrow4, ttl: 63 }, pattern(1300)), narrowMtu(lab)),
  ),
  tx(
    "the next one is refused by what was learned",
    (lab) => udp(narrow4, pattern(narrowMtu(lab) - 28 + 1)),
    (lab) => tooBig(udp(narrow4, pattern(narrowMtu(lab) - 28 + 1)), narrowMtu(lab)),
  ),
  tx(
    "exactly what the path carries",
    (lab) => udp(narrow4, pattern(narrowMtu(lab) - 28)),
    (lab) => sentTo("narrow", udp({ ...narrow4, ttl: 63 }, pattern(narrowMtu(lab) - 28))),
  ),
  tx(
    "too large for the path, IPv6",
    () => udp(narrow6, pattern(1300)),
    () => tooBig(udp(narrow6, pattern(1300)), told6),
    { labs: VXLAN },
  ),
  tx(
    "too large for the path, without DF",
    () => ip({ ...narrow4, df: false, id: 5 }, 253, pattern(1300)),
    (lab) =>
      sentTo(
        "narrow",
        ...fragments({ ...narrow4, df: false, id: 5, ttl: 63 }, 253, pattern(1300), narrowMtu(lab)),
      ),
  ),
];
