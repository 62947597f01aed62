/** IP prefixes as values: parsing, masking, containment and subnet arithmetic. Pure. */
import { type Ip, ipBits, ipFromBigInt, ipFromBytes, ipToBigInt, parseIp } from "./ip.js";

export interface Cidr {
  /** As written; `network()` clears the host bits. */
  readonly ip: Ip;
  readonly length: number;
  /** `<canonical address>/<length>`. */
  readonly text: string;
}

/** Makes a prefix; throws a RangeError when the length does not fit the family. */
export function cidr(ip: Ip, length: number): Cidr {
  if (!Number.isInteger(length) || length < 0 || length > ipBits(ip.family)) {
    throw new RangeError(`/${length} is no prefix length of an IPv${ip.family} address`);
  }
  return { ip, length, text: `${ip.text}/${length}` };
}

/** Parses `address/length`, host bits kept; null for anything else (also for `/08` and for a missing length). */
export function parseCidr(text: string): Cidr | null {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const ip = match?.[1] === undefined ? null : parseIp(match[1]);
  const length = Number(match?.[2]);
  return ip === null || length > ipBits(ip.family) ? null : cidr(ip, length);
}

/** The prefix with its host bits cleared. */
export function network(prefix: Cidr): Cidr {
  const bytes = prefix.ip.bytes.map((byte, index) => byte & maskByte(prefix.length, index));
  return cidr(ipFromBytes(bytes), prefix.length);
}

/** True when no host bit is set. */
export function isNetwork(prefix: Cidr): boolean {
  return prefix.ip.bytes.every((byte, index) => (byte & ~maskByte(prefix.length, index)) === 0);
}

/** True when every address of `inner` lies in `outer`. Prefixes of different families never contain each other. */
export function contains(outer: Cidr, inner: Cidr | Ip): boolean {
  const [ip, length] = "ip" in inner ? [inner.ip, inner.length] : [inner, ipBits(inner.family)];
  if (ip.family !== outer.ip.family || length < outer.length) return false;
  return outer.ip.bytes.every(
    (byte, index) => ((byte ^ (ip.bytes[index] ?? 0)) & maskByte(outer.length, index)) === 0,
  );
}

/** True when the two prefixes share an address. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  return a.length <= b.length ? contains(a, b) : contains(b, a);
}

/** The address `offset` after the prefix's network address; null when it lies outside the prefix. */
export function addressAt(prefix: Cidr, offset: bigint): Ip | null {
  const ip = ipFromBigInt(prefix.ip.family, ipToBigInt(network(prefix).ip) + offset);
  return ip !== null && contains(prefix, ip) ? ip : null;
}

/** The index-th byte of the mask that a prefix of this length has. */
function maskByte(length: number, index: number): number {
  const bits = Math.min(Math.max(length - index * 8, 0), 8);
  return 0xff & (0xff << (8 - bits));
}
