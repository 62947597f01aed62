/**
 * Packets taken apart, the slow and obvious way, with every length and checksum looked at; craft.ts puts them together.
 * It shares nothing with the native code, so that one can find the other's mistakes. Addresses are text, numbers are
 * host integers.
 */
import { ipFromBytes } from "../../src/net/ip.js";

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;

/** The Internet checksum over the chunks laid end to end (RFC 1071); every chunk but the last has an even length. */
export function checksum(...chunks: readonly Uint8Array[]): number {
  let sum = 0;
  for (const chunk of chunks) {
    for (let i = 0; i < chunk.length; i += 2) sum += ((chunk[i] ?? 0) << 8) | (chunk[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

export interface IpPacket {
  readonly version: 4 | 6;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** TTL or hop limit. */
  readonly ttl: number;
  /** TOS or traffic class: six bits of DSCP, two of ECN. */
  readonly tos: number;
  /** IPv4: don't fragment. IPv6 routers never do, so it is always true there. */
  readonly df: boolean;
  /** Part of a datagram: it has no checksum of its own to look at. */
  readonly fragment: boolean;
  readonly payload: Uint8Array;
  /** What is wrong with it, as sentences; empty when valid. */
  readonly problems: readonly string[];
}

/** Takes an IP packet apart and checks header checksum, lengths, and the checksum of TCP, UDP, ICMP and ICMPv6. */
export function readPacket(bytes: Uint8Array): IpPacket {
  const view = viewOf(bytes);
  const version = (bytes[0] ?? 0) >> 4;
  if (version !== 4 && version !== 6) throw new RangeError(`no IP packet: version ${version}`);
  const problems: string[] = [];
  const headerLength = version === 4 ? ((bytes[0] ?? 0) & 15) * 4 : 40;
  const total = version === 4 ? view.getUint16(2) : 40 + view.getUint16(4);
  if (total !== bytes.length) problems.push(`IP length ${total}, but ${bytes.length} bytes`);
  if (version === 4 && checksum(bytes.subarray(0, headerLength)) !== 0) problems.push("IPv4 header checksum");
  const fragmentBits = version === 4 ? view.getUint16(6) : 0x4000;
  const protocol = view.getUint8(version === 4 ? 9 : 6);
  const fragment = (fragmentBits & 0x3fff) !== 0 || protocol === 44;
  const [from, middle, to] = version === 4 ? [12, 16, 20] : [8, 24, 40];
  const payload = bytes.subarray(headerLength, total);
  if (!fragment) {
    const pseudo = pseudoHeader(bytes.subarray(from, to), payload.length, protocol);
    const udpWithout = protocol === UDP && version === 4 && viewOf(payload).getUint16(6) === 0;
    const chunks = protocol === ICMP ? [payload] : [pseudo, payload];
    const known = [ICMP, TCP, UDP, ICMPV6].includes(protocol);
    if (known && !udpWithout && checksum(...chunks) !== 0) problems.push(`checksum of protocol ${protocol}`);
    if (protocol === UDP && viewOf(payload).getUint16(4) !== payload.length) problems.push("UDP length");
  }
  return {
    version,
    source: ipFromBytes(bytes.subarray(from, middle)).text,
    destination: ipFromBytes(bytes.subarray(middle, to)).text,
    protocol,
    ttl: view.getUint8(version === 4 ? 8 : 7),
    tos: version === 4 ? view.getUint8(1) : (view.getUint16(0) >> 4) & 0xff,
    df: (fragmentBits & 0x4000) !== 0,
    fragment,
    payload,
    problems,
  };
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function pseudoHeader(sourceAndDestination: Uint8Array, length: number, protocol: number): Uint8Array {
  const tail = new Uint8Array(4);
  viewOf(tail).setUint16(0, length);
  tail[3] = protocol;
  return Buffer.concat([sourceAndDestination, tail]);
}
