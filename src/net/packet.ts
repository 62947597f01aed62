/**
 * Packets as bytes, for what weft shows and makes up itself: IP and UDP headers, the Internet checksum, and packets of
 * TCP, UDP and ICMP echo. What is forwarded never comes through here.
 */
import type { Family, Ip } from "./ip.js";

export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;

export interface IpFields {
  readonly source: Ip;
  readonly destination: Ip;
  readonly protocol: number;
  readonly tos?: number;
}

const TTL = 64;

export function ipHeaderLength(family: Family): 20 | 40 {
  return family === 4 ? 20 : 40;
}

/** An IPv4 (DF set) or IPv6 header in front of `length` bytes. Both addresses are of one family. */
export function ipHeader({ source, destination, protocol, tos = 0 }: IpFields, length: number): Uint8Array {
  const v4 = source.family === 4;
  const header = new Uint8Array(ipHeaderLength(source.family));
  const view = new DataView(header.buffer);
  header.set(source.bytes, v4 ? 12 : 8);
  header.set(destination.bytes, v4 ? 16 : 24);
  if (!v4) {
    view.setUint32(0, (6 << 28) | (tos << 20));
    view.setUint16(4, length);
    view.setUint8(6, protocol);
    view.setUint8(7, TTL);
    return header;
  }
  view.setUint8(0, 0x45);
  view.setUint8(1, tos);
  view.setUint16(2, header.length + length);
  view.setUint16(6, 0x4000);
  view.setUint8(8, TTL);
  view.setUint8(9, protocol);
  view.setUint16(10, checksum(header));
  return header;
}

/** A UDP header in front of `length` bytes, without a checksum. */
export function udpHeader(sourcePort: number, destinationPort: number, length: number): Uint8Array {
  const header = new Uint8Array(8);
  const view = new DataView(header.buffer);
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  view.setUint16(4, header.length + length);
  return header;
}

/**
 * A packet of `size` bytes (at least its headers) with all checksums right: a TCP SYN or a UDP datagram to `port`, an
 * ICMP or ICMPv6 echo request, or zeros behind the IP header for any other protocol.
 */
export function makePacket(fields: IpFields, port: number, size: number): Uint8Array {
  const headerLength = ipHeaderLength(fields.source.family);
  const upper = new Uint8Array(Math.max(size - headerLength, upperHeaderLength(fields.protocol)));
  const view = new DataView(upper.buffer);
  const at = writeUpperHeader(view, fields.protocol, port);
  const header = ipHeader(fields, upper.length);
  if (at !== null) {
    const chunks = fields.protocol === PROTOCOL.icmp ? [upper] : [pseudoHeader(fields, upper.length), upper];
    // A UDP checksum of zero would say that there is none (RFC 768); in TCP and ICMP both are the same.
    view.setUint16(at, checksum(...chunks) || 0xffff);
  }
  return Buffer.concat([header, upper]);
}

/** The Internet checksum (RFC 1071) over chunks of even length, but for the last. */
export function checksum(...chunks: readonly Uint8Array[]): number {
  let sum = 0;
  for (const chunk of chunks) {
    for (let i = 0; i < chunk.length; i += 2) sum += ((chunk[i] ?? 0) << 8) | (chunk[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** What TCP, UDP and ICMPv6 checksums cover beside the upper layer (RFC 768, RFC 8200 section 8.1). */
export function pseudoHeader({ source, destination, protocol }: IpFields, length: number): Uint8Array {
  const tail = new Uint8Array(8);
  const view = new DataView(tail.buffer);
  view.setUint32(0, length);
  view.setUint32(4, protocol);
  return Buffer.concat([source.bytes, destination.bytes, tail]);
}

function upperHeaderLength(protocol: number): number {
  if (protocol === PROTOCOL.tcp) return 20;
  return protocol === PROTOCOL.udp || protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6 ? 8 : 0;
}

/** Returns where the checksum goes; null without one. */
function writeUpperHeader(view: DataView, protocol: number, port: number): number | null {
  switch (protocol) {
    case PROTOCOL.tcp:
      view.setUint16(0, 49152);
      view.setUint16(2, port);
      view.setUint16(12, (5 << 12) | 2); // header of five words, SYN
      view.setUint16(14, 65535);
      return 16;
    case PROTOCOL.udp:
      view.setUint16(0, 49152);
      view.setUint16(2, port);
      view.setUint16(4, view.byteLength);
      return 6;
    case PROTOCOL.icmp:
    case PROTOCOL.icmpv6:
      view.setUint8(0, protocol === PROTOCOL.icmp ? 8 : 128);
      return 2;
    default:
      return null;
  }
}
