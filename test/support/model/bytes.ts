/** Byte strings, the model's only data: network byte order, taken apart and put together by copying. */

export type Bytes = Uint8Array;

/** Joins numbers (one byte each) and byte strings. */
export function join(...parts: readonly (number | Bytes)[]): Bytes {
  const chunks = parts.map((part) => (typeof part === "number" ? Uint8Array.of(part) : part));
  const all = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** The two bytes of a number; what does not fit is cut off. */
export function be16(value: number): Bytes {
  return Uint8Array.of((value >>> 8) & 0xff, value & 0xff);
}

/** The four bytes of a number, modulo 2³². */
export function be32(value: number): Bytes {
  return join(be16(Math.floor(value / 0x10000)), be16(value));
}

/** The byte at a place; bytes behind the end read as zero, so lengths are checked before. */
export function byte(data: Bytes, at: number): number {
  return data[at] ?? 0;
}

export function read16(data: Bytes, at: number): number {
  return byte(data, at) * 256 + byte(data, at + 1);
}

export function read32(data: Bytes, at: number): number {
  return read16(data, at) * 65536 + read16(data, at + 2);
}

export function equal(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** Whether an address or MAC is absent: all zero. */
export function isZero(data: Bytes): boolean {
  return data.every((value) => value === 0);
}

/** A copy with other bytes at a place. */
export function replaced(data: Bytes, at: number, part: Bytes): Bytes {
  return join(data.subarray(0, at), part, data.subarray(at + part.length));
}

export function hex(data: Bytes): string {
  return Buffer.from(data).toString("hex");
}
