/**
 * IPv4 (RFC 791) and IPv6 (RFC 8200) packets as objects: bytes are parsed to one, and one is written to bytes with
 * its length and header checksum worked out afresh. Writing what was parsed gives the same packet without padding.
 */
import { be16, be32, byte, type Bytes, join, read16, replaced } from "./bytes.js";
import { checksum } from "./checksum.js";
import { listOptions } from "./ipv4-options.js";
import type { Or } from "./reasons.js";

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION = 60;

interface Common {
  readonly source: Bytes;
  readonly destination: Bytes;
  /** TOS or traffic class: DSCP and ECN. */
  readonly tos: number;
  readonly ttl: number;
  /** Of `payload`; behind IPv6 extension headers. */
  readonly protocol: number;
  /** Offset in bytes and whether more follow; null for a whole datagram. */
  readonly fragment: { readonly offset: number; readonly more: boolean } | null;
  /** The upper-layer header and everything behind it. */
  readonly payload: Bytes;
}

export interface Ipv4 extends Common {
  readonly version: 4;
  readonly id: number;
  readonly dontFragment: boolean;
  readonly reservedFlag: boolean;
  /** A multiple of four bytes. */
  readonly options: Bytes;
}

export interface Ipv6 extends Common {
  readonly version: 6;
  readonly flowLabel: number;
  /** The type of the first extension header, or the protocol when there is none. */
  readonly nextHeader: number;
  readonly extensions: readonly Extension[];
}

export interface Extension {
  readonly type: number;
  /** Starts with the type of what follows. */
  readonly bytes: Bytes;
}

export type IpPacket = Ipv4 | Ipv6;

export function parseIp(data: Bytes): Or<IpPacket> {
  if (data.length === 0) return "runt";
  const version = byte(data, 0) >> 4;
  if (version === 4) return parseIpv4(data);
  if (version === 6) return parseIpv6(data);
  return "bad_header";
}

export function writeIp(packet: IpPacket): Bytes {
  return join(writeHeader(packet, packet.payload.length), packet.payload);
}

/** Length of the IP header with options or extension headers. */
export function headerLength(packet: IpPacket): number {
  return writeHeader(packet, 0).length;
}

/** Length of the whole packet. */
export function totalLength(packet: IpPacket): number {
  return headerLength(packet) + packet.payload.length;
}

/** Without the header that tells the upper layer: any fragment but the first. */
export function isLaterFragment(packet: IpPacket): boolean {
  return packet.fragment !== null && packet.fragment.offset > 0;
}

/** Whether an IPv6 routing header still has somewhere to go, so that the destination is not the final one. */
export function isOnItsWay(packet: IpPacket): boolean {
  return (
    packet.version === 6 &&
    packet.extensions.some(({ type, bytes }) => type === ROUTING && byte(bytes, 3) > 0)
  );
}

function parseIpv4(data: Bytes): Or<Ipv4> {
  if (data.length < 20) return "runt";
  const header = (byte(data, 0) & 15) * 4;
  const total = read16(data, 2);
  if (header < 20 || total < header) return "bad_header";
  if (total > data.length) return "runt";
  if (checksum(data.subarray(0, header)) !== 0) return "bad_checksum";
  const options = data.slice(20, header);
  // Loose and strict source and record route, RFC 791 3.1.
  if (listOptions(options).some(({ type }) => type === 131 || type === 137)) return "source_route";
  const flags = byte(data, 6) >> 5;
  const offset = (read16(data, 6) & 0x1fff) * 8;
  const more = (flags & 1) !== 0;
  return {
    version: 4,
    tos: byte(data, 1),
    id: read16(data, 4),
    reservedFlag: (flags & 4) !== 0,
    dontFragment: (flags & 2) !== 0,
    fragment: more || offset > 0 ? { offset, more } : null,
    ttl: byte(data, 8),
    protocol: byte(data, 9),
    source: data.slice(12, 16),
    destination: data.slice(16, 20),
    options,
    payload: data.slice(header, total),
  };
}

function parseIpv6(data: Bytes): Or<Ipv6> {
  if (data.length < 40) return "runt";
  const total = 40 + read16(data, 4);
  if (total > data.length) return "runt";
  const chain = parseExtensions(byte(data, 6), data.slice(40, total));
  // RFC 5095: routing headers of type 0 are obsolete.
  if (chain.extensions.some(({ type, bytes }) => type === ROUTING && bytes[2] === 0 && byte(bytes, 3) > 0)) {
    return "source_route";
  }
  return {
    version: 6,
    tos: (read16(data, 0) >> 4) & 0xff,
    flowLabel: (byte(data, 1) & 15) * 65536 + read16(data, 2),
    nextHeader: byte(data, 6),
    ttl: byte(data, 7),
    source: data.slice(8, 24),
    destination: data.slice(24, 40),
    ...chain,
  };
}

/** Takes extension headers off; one that is cut off, and what is behind a later fragment's header, stays payload. */
function parseExtensions(
  first: number,
  data: Bytes,
): Pick<Ipv6, "extensions" | "protocol" | "fragment" | "payload"> {
  const extensions: Extension[] = [];
  let fragment: Ipv6["fragment"] = null;
  let protocol = first;
  let payload = data;
  while ([HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION].includes(protocol) && payload.length >= 8) {
    const length = protocol === FRAGMENT ? 8 : 8 + 8 * byte(payload, 1);
    if (length > payload.length) break;
    const bytes = payload.slice(0, length);
    extensions.push({ type: protocol, bytes });
    if (protocol === FRAGMENT) {
      const field = read16(bytes, 2);
      fragment = { offset: field & 0xfff8, more: (field & 1) !== 0 };
    }
    protocol = byte(bytes, 0);
    payload = payload.slice(length);
    if (fragment !== null && fragment.offset > 0) break;
  }
  return { extensions, protocol, fragment, payload };
}

function writeHeader(packet: IpPacket, payloadLength: number): Bytes {
  const { source, destination } = packet;
  if (packet.version === 6) {
    const first = packet.tos * 0x100000 + packet.flowLabel + 0x60000000;
    const extensions = join(...packet.extensions.map(({ bytes }) => bytes));
    const length = be16(extensions.length + payloadLength);
    return join(be32(first), length, packet.nextHeader, packet.ttl, source, destination, extensions);
  }
  const flags =
    (packet.reservedFlag ? 4 : 0) + (packet.dontFragment ? 2 : 0) + (packet.fragment?.more ? 1 : 0);
  const length = 20 + packet.options.length;
  const header = join(
    0x40 + length / 4,
    packet.tos,
    be16(length + payloadLength),
    be16(packet.id),
    be16(flags * 0x2000 + (packet.fragment?.offset ?? 0) / 8),
    packet.ttl,
    packet.protocol,
    be16(0),
    source,
    destination,
    packet.options,
  );
  return replaced(header, 10, be16(checksum(header)));
}
