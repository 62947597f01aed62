/**
 * Packets made to order, byte for byte: right by default, wrong where a test says so. The family follows from the
 * source address. Addresses are text, numbers are host integers, lengths and offsets are bytes.
 */
import { ipFromBytes, parseIp } from "../../src/net/ip.js";
import { checksum, ICMP, ICMPV6, TCP, UDP, viewOf } from "./packets.js";

/** An IPv6 extension header: its type, and what follows its first byte (the next header's type, filled in here). */
export interface Extension {
  readonly type: number;
  readonly rest: readonly number[];
}

/** Eight bytes of options for every hop, or for the destination: padding that says nothing. */
export const HOP_BY_HOP: Extension = { type: 0, rest: [0, 1, 4, 0, 0, 0, 0] };
export const DESTINATION_OPTIONS: Extension = { type: 60, rest: [0, 1, 4, 0, 0, 0, 0] };

/** An IPv6 fragment header (RFC 8200 4.5). */
export function fragmentHeader(offset: number, more: boolean): Extension {
  return { type: 44, rest: [0, offset >> 8, (offset & 0xf8) | (more ? 1 : 0), 0, 0, 0, 9] };
}

export interface IpFields {
  readonly source: string;
  readonly destination: string;
  /** TTL or hop limit; 64. */
  readonly ttl?: number;
  /** TOS or traffic class; 0. */
  readonly tos?: number;
  /** IPv4: identification, 0; don't fragment, true; more fragments, false; fragment offset, 0; options, none. */
  readonly id?: number;
  readonly df?: boolean;
  readonly more?: boolean;
  readonly offset?: number;
  readonly options?: readonly number[];
  /** IPv6: flow label, 0, and extension headers, none. */
  readonly flow?: number;
  readonly extensions?: readonly Extension[];
}

/**
 * An upper-layer checksum: right; wrong; none (zero); or partial, which is the pseudo-header's sum alone, as a sender
 * behind checksum offload leaves it.
 */
export type Sum = "right" | "wrong" | "none" | "partial";

export interface UdpFields extends IpFields {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly sum?: Sum;
  /** What the UDP header says instead of the true length. */
  readonly udpLength?: number;
}

export interface TcpFields extends IpFields {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly seq?: number;
  readonly flags?: number;
  readonly sum?: Sum;
  /** A multiple of four bytes. */
  readonly tcpOptions?: readonly number[];
}

export interface IcmpFields extends IpFields {
  readonly type?: number;
  readonly code?: number;
  /** The second word of the header: identifier and sequence number of an echo, or the MTU of "too big". */
  readonly word?: number;
  readonly sum?: Sum;
}

/** An IP packet around any payload. */
export function ip(fields: IpFields, protocol: number, payload: Uint8Array): Uint8Array {
  return isIpv6(fields) ? ipv6(fields, protocol, payload) : ipv4(fields, protocol, payload);
}

/** A UDP datagram in an IP packet. Ports are 4000 → 5000. */
export function udp(fields: UdpFields, data: Uint8Array | string = "weft"): Uint8Array {
  const segment = Buffer.concat([Buffer.alloc(8), Buffer.from(data)]);
  segment.writeUInt16BE(fields.sourcePort ?? 4000, 0);
  segment.writeUInt16BE(fields.destinationPort ?? 5000, 2);
  segment.writeUInt16BE(fields.udpLength ?? segment.length, 4);
  return ip(fields, UDP, summed(fields, UDP, segment, 6));
}

/** A TCP segment in an IP packet, with ACK set unless flags say otherwise. Ports are 4000 → 5000. */
export function tcp(fields: TcpFields, data: Uint8Array | string = "weft"): Uint8Array {
  const options = Buffer.from(fields.tcpOptions ?? []);
  const segment = Buffer.concat([Buffer.alloc(20), options, Buffer.from(data)]);
  segment.writeUInt16BE(fields.sourcePort ?? 4000, 0);
  segment.writeUInt16BE(fields.destinationPort ?? 5000, 2);
  segment.writeUInt32BE(fields.seq ?? 1, 4);
  segment.writeUInt32BE(1, 8);
  segment.writeUInt8((5 + options.length / 4) << 4, 12);
  segment.writeUInt8(fields.flags ?? 0x10, 13);
  segment.writeUInt16BE(512, 14);
  return ip(fields, TCP, summed(fields, TCP, segment, 16));
}

/** An ICMP or ICMPv6 message, an echo request by default. */
export function icmp(fields: IcmpFields, data: Uint8Array | string = "weft"): Uint8Array {
  const message = Buffer.concat([Buffer.alloc(8), Buffer.from(data)]);
  message.writeUInt8(fields.type ?? (isIpv6(fields) ? 128 : 8), 0);
  message.writeUInt8(fields.code ?? 0, 1);
  message.writeUInt32BE(fields.word ?? 0x00010001, 4);
  const protocol = isIpv6(fields) ? ICMPV6 : ICMP;
  return ip(fields, protocol, summed(fields, protocol, message, 2));
}

/**
 * The ICMP or ICMPv6 error about a packet, from `source` to its sender: it quotes the packet from its first byte, as
 * much as makes 576 bytes (RFC 1812 4.3.2.3) or 1280 (RFC 4443 2.4). `word` is the MTU of "too big".
 */
export function icmpError(
  source: string,
  type: number,
  code: number,
  about: Uint8Array,
  word = 0,
): Uint8Array {
  const six = source.includes(":");
  const sender = ipFromBytes(six ? about.subarray(8, 24) : about.subarray(12, 16)).text;
  const fields = { source, destination: sender, type, code, word };
  const quote = about.subarray(0, six ? 1280 - 48 : 576 - 28);
  return icmp(six ? fields : { ...fields, tos: 0xc0, df: false }, quote);
}

export interface VxlanFields {
  /** First and last word of the header as they stand there; the I flag alone, and VNI 1. */
  readonly flags?: number;
  readonly tail?: number;
  readonly destination: string;
  readonly source: string;
  readonly ethertype: number;
}

/** The UDP payload of a VXLAN datagram: VXLAN header, inner Ethernet header, contents. */
export function vxlan(fields: VxlanFields, contents: Uint8Array): Uint8Array {
  const header = Buffer.alloc(22);
  header.writeUInt32BE(fields.flags ?? 0x08000000, 0);
  header.writeUInt32BE(fields.tail ?? 0x00000100, 4);
  header.write(fields.destination.replaceAll(":", ""), 8, "hex");
  header.write(fields.source.replaceAll(":", ""), 14, "hex");
  header.writeUInt16BE(fields.ethertype, 20);
  return Buffer.concat([header, contents]);
}

/** A copy with single bytes replaced. */
export function withBytes(packet: Uint8Array, bytes: Readonly<Record<number, number>>): Uint8Array {
  const copy = Uint8Array.from(packet);
  for (const [at, value] of Object.entries(bytes)) copy[Number(at)] = value;
  return copy;
}

/** A copy of an IPv4 packet with single bytes replaced and the header's checksum made right again. */
export function withHeaderBytes(packet: Uint8Array, bytes: Readonly<Record<number, number>>): Uint8Array {
  const copy = withBytes(packet, { ...bytes, 10: 0, 11: 0 });
  viewOf(copy).setUint16(10, checksum(copy.subarray(0, Math.max(20, ((copy[0] ?? 0) & 15) * 4))));
  return copy;
}

/** As many bytes as asked for, each different from its neighbours, so that a byte out of place shows. */
export function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
}

function isIpv6({ source }: IpFields): boolean {
  return source.includes(":");
}

function ipv4(fields: IpFields, protocol: number, payload: Uint8Array): Uint8Array {
  const options = Buffer.from(fields.options ?? []);
  const header = Buffer.concat([Buffer.alloc(20), options]);
  const { df = true, more = false, offset = 0 } = fields;
  header.writeUInt8(0x40 | (header.length / 4), 0);
  header.writeUInt8(fields.tos ?? 0, 1);
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt16BE(fields.id ?? 0, 4);
  header.writeUInt16BE((df ? 0x4000 : 0) | (more ? 0x2000 : 0) | (offset / 8), 6);
  header.writeUInt8(fields.ttl ?? 64, 8);
  header.writeUInt8(protocol, 9);
  header.set(addresses(fields), 12);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

function ipv6(fields: IpFields, protocol: number, payload: Uint8Array): Uint8Array {
  const extensions = fields.extensions ?? [];
  const next = [...extensions.map(({ type }) => type), protocol];
  const chain = extensions.map(({ rest }, i) => Buffer.from([next[i + 1] ?? 0, ...rest]));
  const body = Buffer.concat([...chain, payload]);
  const header = Buffer.alloc(40);
  header.writeUInt32BE(((6 << 28) | ((fields.tos ?? 0) << 20) | (fields.flow ?? 0)) >>> 0, 0);
  header.writeUInt16BE(body.length, 4);
  header.writeUInt8(next[0] ?? protocol, 6);
  header.writeUInt8(fields.ttl ?? 64, 7);
  header.set(addresses(fields), 8);
  return Buffer.concat([header, body]);
}

/** The segment with its checksum, which stands `at` bytes behind its start, filled in. */
function summed(
  fields: IpFields & { readonly sum?: Sum },
  protocol: number,
  segment: Buffer,
  at: number,
): Buffer {
  const tail = Buffer.alloc(4);
  tail.writeUInt16BE(segment.length, 0);
  tail.writeUInt8(protocol, 3);
  const pseudo = protocol === ICMP ? Buffer.alloc(0) : Buffer.concat([addresses(fields), tail]);
  const right = checksum(pseudo, segment) || (protocol === UDP ? 0xffff : 0);
  const values = { right, wrong: right ^ 0x5555, none: 0, partial: ~checksum(pseudo) & 0xffff };
  segment.writeUInt16BE(values[fields.sum ?? "right"], at);
  return segment;
}

/** parseIp takes an IPv4 address mapped into IPv6 for what it stands for; here it is meant as it is written. */
function addresses(fields: IpFields): Uint8Array {
  const mapped = Buffer.from("00000000000000000000ffff", "hex");
  const both = [fields.source, fields.destination].map(bytesOf);
  return Buffer.concat(
    both.flatMap((bytes) => (isIpv6(fields) && bytes.length === 4 ? [mapped, bytes] : [bytes])),
  );
}

function bytesOf(address: string): Uint8Array {
  const parsed = parseIp(address);
  if (parsed === null) throw new Error(`${address} is no address`);
  return parsed.bytes;
}
