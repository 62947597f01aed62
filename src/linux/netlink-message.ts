/**
 * Netlink messages as bytes, whatever they are about. Pure; names and layouts are those of linux/netlink.h.
 *
 * A message is a header (nlmsghdr), a fixed struct of its type, and attributes (length, type, value, padding to 4),
 * which may nest. Integers are in host byte order.
 */
import { endianness } from "node:os";

const NLM_F_REQUEST = 0x1;
export const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSG_HDRLEN = 16;
const NLMSGERR_ATTR_MSG = 1;
const NLA_TYPE_MASK = 0x3fff;

/** The sequence number of every request; each travels on a socket of its own. */
const SEQUENCE = 1;

const LITTLE_ENDIAN = endianness() === "LE";

/** One message of an answer; `body` is what follows the header. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly body: Uint8Array;
}

/** How the kernel ended an answer: `errno` is 0 or negative, `text` its own sentence about the error, if it gave one. */
export interface Ending {
  readonly errno: number;
  readonly text: string | null;
}

/** A request of `type` whose header is followed by `parts`. */
export function message(type: number, flags: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts);
  return Buffer.concat([
    u32(NLMSG_HDRLEN + body.length),
    u16(type, NLM_F_REQUEST | flags),
    u32(SEQUENCE, 0),
    body,
  ]);
}

/** An attribute whose value is `parts`: its own bytes, or further attributes. */
export function attribute(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const value = Buffer.concat(parts);
  return Buffer.concat([u16(4 + value.length, type), value, Buffer.alloc(-value.length & 3)]);
}

// Typed arrays are in host byte order, as netlink wants its integers.
export function u8(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values);
}

function u16(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint16Array.from(values).buffer);
}

export function u32(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

/** Splits a datagram of an answer; what does not fit its own length is left out. */
export function parseMessages(datagram: Uint8Array): Message[] {
  const messages: Message[] = [];
  for (let at = 0; at + NLMSG_HDRLEN <= datagram.length;) {
    const length = readU32(datagram, at);
    if (length < NLMSG_HDRLEN || at + length > datagram.length) break;
    messages.push({
      type: readU16(datagram, at + 4),
      flags: readU16(datagram, at + 6),
      body: datagram.subarray(at + NLMSG_HDRLEN, at + length),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

/** The end of an answer; null for a message that does not end one. */
export function parseEnding({ type, flags, body }: Message): Ending | null {
  if (type !== NLMSG_ERROR && type !== NLMSG_DONE) return null;
  const errno = body.length < 4 ? 0 : readU32(body, 0) | 0;
  if (type === NLMSG_DONE || (flags & NLM_F_ACK_TLVS) === 0) return { errno, text: null };
  // struct nlmsgerr: errno, the header of the request and, unless capped, its body; then attributes.
  const echoed = (flags & NLM_F_CAPPED) === 0 ? readU32(body, 4) : NLMSG_HDRLEN;
  const text = parseAttributes(body.subarray(4 + ((echoed + 3) & ~3))).get(NLMSGERR_ATTR_MSG);
  return { errno, text: text === undefined ? null : readString(text) };
}

export type Attributes = ReadonlyMap<number, Uint8Array>;

/** The attributes of a message or of an attribute by type; what does not fit its own length is left out. */
export function parseAttributes(bytes: Uint8Array): Attributes {
  const attributes = new Map<number, Uint8Array>();
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = readU16(bytes, at);
    if (length < 4 || at + length > bytes.length) break;
    attributes.set(readU16(bytes, at + 2) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return attributes;
}

/** The attributes within an attribute; empty when it is missing. */
export function nested(attributes: Attributes, type: number): Attributes {
  return parseAttributes(attributes.get(type) ?? u8());
}

function readU16(bytes: Uint8Array, at: number): number {
  return view(bytes).getUint16(at, LITTLE_ENDIAN);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return view(bytes).getUint32(at, LITTLE_ENDIAN);
}

/** Exact up to 2^53, which no counter of the kernel reaches. */
export function readU64(bytes: Uint8Array, at: number): number {
  return Number(view(bytes).getBigUint64(at, LITTLE_ENDIAN));
}

/** Text up to its NUL. */
export function readString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
