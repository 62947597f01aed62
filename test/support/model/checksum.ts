/** The Internet checksum (RFC 1071), word by word, and the pseudo-headers (RFC 9293 3.1, RFC 8200 8.1). */
import { be16, be32, byte, type Bytes, join } from "./bytes.js";

/** One's complement sum of 16-bit words; an odd last byte is padded with zero. Every part has its own padding. */
export function onesSum(...parts: readonly Bytes[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) {
      sum += byte(part, i) * 256 + byte(part, i + 1);
      if (sum > 0xffff) sum -= 0xffff;
    }
  }
  return sum;
}

/** What belongs into the checksum field of data that has zero there. */
export function checksum(...parts: readonly Bytes[]): number {
  return 0xffff - onesSum(...parts);
}

export function pseudoHeader(source: Bytes, destination: Bytes, protocol: number, length: number): Bytes {
  return source.length === 4
    ? join(source, destination, 0, protocol, be16(length))
    : join(source, destination, be32(length), 0, 0, 0, protocol);
}
