/** Segmentation offload (GSO) done by hand: what net/ipv4/tcp_offload.c and udp_offload.c make of a super-packet. */
import { be16, byte, type Bytes, read16, replaced } from "./bytes.js";
import { checksum, onesSum } from "./checksum.js";
import { headerLength, type IpPacket, TCP, UDP } from "./ip.js";
import { checksumOffset, CWR, FIN, type Offload, orOtherZero, parseTcp, PSH, writeTcp } from "./transport.js";

/** The longest headers weft copies per segment: IPv6 with 128 bytes of extensions, and the longest TCP header. */
const LONGEST_HEADERS = 40 + 128 + 60;

/** IP and upper-layer header of every segment; null when the offload contradicts the packet. */
export function segmentHeaderLength(packet: IpPacket, offload: Offload): number | null {
  const ip = headerLength(packet);
  const upper = upperHeaderLength(packet, offload);
  const { partial, mss } = offload;
  if (upper === null || ip + upper > LONGEST_HEADERS || upper >= packet.payload.length || mss === 0)
    return null;
  if (packet.fragment !== null || partial === null) return null;
  return partial.start === ip && partial.offset === checksumOffset(packet.protocol) ? ip + upper : null;
}

/** The segments of a super-packet whose offload was found consistent: each a packet of its own, checksums complete. */
export function segment<P extends IpPacket>(packet: P, offload: Offload): P[] {
  const upper = upperHeaderLength(packet, offload) ?? 0;
  const data = packet.payload.slice(upper);
  const segments: P[] = [];
  for (let at = 0; at < data.length; at += offload.mss) {
    const part = data.slice(at, at + offload.mss);
    const last = at + offload.mss >= data.length;
    const whole = replaced(packet.payload, upper, part).subarray(0, upper + part.length);
    const payload = offload.gso === "tcp" ? tcpPart(whole, at, last) : replaced(whole, 4, be16(whole.length));
    const id = packet.version === 4 ? { id: (packet.id + segments.length) % 0x10000 } : {};
    segments.push({ ...packet, ...id, payload: withChecksum(payload, packet) });
  }
  return segments;
}

/** The header as the packet itself tells it. */
function upperHeaderLength({ protocol, payload }: IpPacket, { gso }: Offload): number | null {
  if (gso === "udp") return protocol === UDP ? 8 : null;
  const length = (byte(payload, 12) >> 4) * 4;
  return protocol === TCP && payload.length >= 20 && length >= 20 ? length : null;
}

/** Sequence numbers move on; the stream ends and is pushed with the last segment; congestion is told once. */
function tcpPart(whole: Bytes, at: number, last: boolean): Bytes {
  const tcp = parseTcp(whole);
  if (tcp === null) throw new RangeError("not a TCP segment");
  const cleared = (last ? 0 : FIN | PSH) | (at > 0 ? CWR : 0);
  return writeTcp({ ...tcp, sequence: (tcp.sequence + at) % 2 ** 32, flags: tcp.flags & ~cleared });
}

/**
 * The super-packet's field holds the sum of its pseudo-header, which may be that of the final destination of a
 * routing header: only the length in it changes.
 */
function withChecksum(payload: Bytes, whole: IpPacket): Bytes {
  const at = checksumOffset(whole.protocol) ?? 0;
  const base = onesSum(
    be16(read16(whole.payload, at)),
    be16(0xffff - whole.payload.length),
    be16(payload.length),
  );
  const sum = checksum(be16(base), replaced(payload, at, be16(0)));
  return replaced(payload, at, be16(orOtherZero(sum, whole.protocol)));
}
