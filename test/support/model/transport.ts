/** TCP and UDP as far as offloads touch them: where the checksum is, and TCP segments as objects. */
import { be16, be32, byte, type Bytes, join, read16, read32, replaced } from "./bytes.js";
import { onesSum, pseudoHeader } from "./checksum.js";
import { headerLength, type IpPacket, isOnItsWay, TCP, UDP } from "./ip.js";

/** What a sender behind offloads left for others to finish. Offsets as in a vnet header, from the packet's start. */
export interface Offload {
  /** To be cut into segments of `mss` payload bytes. */
  readonly gso: "tcp" | "udp" | null;
  readonly mss: number;
  /** The checksum field at start + offset holds only the pseudo-header's sum; the rest is to be added from start on. */
  readonly partial: { readonly start: number; readonly offset: number } | null;
}

export const noOffload: Offload = { gso: null, mss: 0, partial: null };

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const URG = 0x20;
export const CWR = 0x80;

export interface TcpSegment {
  readonly ports: Bytes;
  readonly sequence: number;
  readonly acknowledgement: number;
  /** Length of the header in bytes as it says itself; 20 at least. */
  readonly headerLength: number;
  readonly reserved: number;
  readonly flags: number;
  readonly window: number;
  readonly checksum: number;
  readonly urgent: number;
  readonly options: Bytes;
  readonly data: Bytes;
}

/** Null when the header is not whole. */
export function parseTcp(payload: Bytes): TcpSegment | null {
  const length = (byte(payload, 12) >> 4) * 4;
  if (length < 20 || length > payload.length) return null;
  return {
    ports: payload.slice(0, 4),
    sequence: read32(payload, 4),
    acknowledgement: read32(payload, 8),
    headerLength: length,
    reserved: byte(payload, 12) & 15,
    flags: byte(payload, 13),
    window: read16(payload, 14),
    checksum: read16(payload, 16),
    urgent: read16(payload, 18),
    options: payload.slice(20, length),
    data: payload.slice(length),
  };
}

export function writeTcp(segment: TcpSegment): Bytes {
  return join(
    segment.ports,
    be32(segment.sequence),
    be32(segment.acknowledgement),
    (segment.headerLength / 4) * 16 + segment.reserved,
    segment.flags,
    be16(segment.window),
    be16(segment.checksum),
    be16(segment.urgent),
    segment.options,
    segment.data,
  );
}

/** Offset of the checksum field in the upper-layer header; null for protocols that no offload knows. */
export function checksumOffset(protocol: number): number | null {
  return protocol === TCP ? 16 : protocol === UDP ? 6 : null;
}

/**
 * "none": there is no checksum to look at, because the protocol has none, the sender left it out, this is a fragment,
 * or a routing header will change the destination. "partial": it holds the pseudo-header's sum alone.
 */
export function checksumState(packet: IpPacket): "none" | "good" | "partial" | "bad" {
  const { payload, protocol } = packet;
  const at = checksumOffset(protocol);
  if (at === null || packet.fragment !== null || payload.length < at + 2 || isOnItsWay(packet)) return "none";
  const field = read16(payload, at);
  if (protocol === UDP && field === 0) return "none";
  const pseudo = pseudoOf(packet);
  if (onesSum(pseudo, payload) === 0xffff) return "good";
  return field === onesSum(pseudo) ? "partial" : "bad";
}

/** The packet with only the pseudo-header's sum in its checksum field, and the offload that says so. */
export function withPartialChecksum<P extends IpPacket>(
  packet: P,
): { readonly packet: P; readonly partial: Offload["partial"] } {
  const offset = checksumOffset(packet.protocol) ?? 0;
  const payload = replaced(packet.payload, offset, be16(onesSum(pseudoOf(packet))));
  return { packet: { ...packet, payload }, partial: { start: headerLength(packet), offset } };
}

/** A UDP checksum of zero would say that there is none (RFC 768): the other zero is sent. */
export function orOtherZero(checksum: number, protocol: number): number {
  return protocol === UDP && checksum === 0 ? 0xffff : checksum;
}

function pseudoOf({ source, destination, protocol, payload }: IpPacket): Bytes {
  return pseudoHeader(source, destination, protocol, payload.length);
}
