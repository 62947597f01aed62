/**
 * IP addresses as values: the only file that knows the ip6addr package.
 *
 * An address travels through the program as an `Ip`: its bytes in network byte order, its family, and its canonical
 * text (RFC 5952 for IPv6). Two addresses are the same when their `text` is the same.
 */
import { isIP } from "node:net";
import ip6addr from "ip6addr";

export type Family = 4 | 6;

export interface Ip {
  readonly family: Family;
  /** Network byte order; 4 or 16 bytes. Not to be written to. */
  readonly bytes: Uint8Array;
  /** Canonical text: lower case, shortest form. */
  readonly text: string;
}

/**
 * Parses an IPv4 or IPv6 address without prefix, zone or surrounding space.
 * Returns null for anything else (also for `010.1.2.3`, which some parsers read as octal).
 */
export function parseIp(text: string): Ip | null {
  // net.isIP is the strict gate; ip6addr alone would take leading zeros.
  const family = isIP(text);
  if (family === 0 || text.includes("%")) return null;
  if (family === 4) return ipFromBytes(Uint8Array.from(text.split("."), Number));
  const parsed = ip6addr.parse(text);
  if (parsed.kind() === "ipv4") {
    // An IPv4-mapped IPv6 address is kept as the IPv4 address that it means.
    return ipFromBytes(new Uint8Array(parsed.toBuffer().subarray(12)));
  }
  return ipFromBytes(new Uint8Array(parsed.toBuffer()));
}

/** Makes an address of 4 or 16 bytes in network byte order; throws a RangeError for another length. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length === 4) return { family: 4, bytes, text: bytes.join(".") };
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)).toString(16));
  return { family: 6, bytes, text: ip6addr.parse(groups.join(":")).toString({ format: "v6" }) };
}

/** Number of bits of an address of a family. */
export function ipBits(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** The address as an unsigned integer. */
export function ipToBigInt(ip: Ip): bigint {
  let value = 0n;
  for (const byte of ip.bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

/** The address of a family whose unsigned integer is `value`; null when it does not fit. */
export function ipFromBigInt(family: Family, value: bigint): Ip | null {
  if (value < 0n || value >> BigInt(ipBits(family)) !== 0n) return null;
  const bytes = new Uint8Array(ipBits(family) / 8);
  for (let i = bytes.length - 1; i >= 0; i--, value >>= 8n) bytes[i] = Number(value & 0xffn);
  return ipFromBytes(bytes);
}

/** IPv4 link-local (169.254/16) or IPv6 link-local (fe80::/10). */
export function isLinkLocal(ip: Ip): boolean {
  const [a = 0, b = 0] = ip.bytes;
  return ip.family === 4 ? a === 169 && b === 254 : a === 0xfe && (b & 0xc0) === 0x80;
}

/** Neither unspecified, loopback, multicast, broadcast nor (IPv4) in 0/8 and 240/4: an address a host may have. */
export function isUnicast(ip: Ip): boolean {
  if (ip.family === 4) {
    const a = ip.bytes[0] ?? 0;
    return a !== 0 && a !== 127 && a < 224;
  }
  return ip.text !== "::" && ip.text !== "::1" && ip.bytes[0] !== 0xff;
}
