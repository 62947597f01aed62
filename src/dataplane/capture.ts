/**
 * A running capture, seen from the event loop: the filter goes down as one packed row, records come up as the workers
 * wrote them (both as `native/io/capture.h` lays them out, integers in host byte order).
 */
import type { CaptureRequest } from "../config/requests.js";
import { CAPTURE_RING, type EngineHandle, type Native } from "../native/bindings.js";
import { type Ip, ipFromBytes } from "../net/ip.js";
import { LITTLE_ENDIAN, setMapped } from "./rows.js";

/** Where a worker saw something, in the order of `enum capture_step`. */
export const CAPTURE_STEPS = ["tun-in", "underlay-out", "underlay-in", "tun-out"] as const;
export type CaptureStep = (typeof CAPTURE_STEPS)[number];

export interface CaptureRecord {
  readonly step: CaptureStep;
  /** Why it was dropped; null: it was not. Of an ICMP error: why its subject was. */
  readonly reason: string | null;
  /** Received and answered by weft itself. */
  readonly consumed: boolean;
  /** The upper-layer checksum is left to whoever sends it out. */
  readonly partial: boolean;
  /** An ICMP error of weft's own. */
  readonly reply: boolean;
  /** Of the outer header. */
  readonly tos: number;
  /** Since 1970. */
  readonly timeNs: bigint;
  /** Datagrams that a packet became, or packets that were coalesced into it. */
  readonly parts: number;
  /** Of a super-packet, else 0. */
  readonly mss: number;
  /** Source port of a datagram. */
  readonly port: number;
  /** Underlay address of the other side; null: none, or not known. */
  readonly peer: Ip | null;
  /** From the inner IP header on, or a datagram's payload; perhaps cut to the filter's snaplen. */
  readonly bytes: Uint8Array;
  readonly length: number;
}

const FILTER_SIZE = 40;
const HEADER_SIZE = 64;
const FLAG = { consumed: 1, partial: 2, reply: 4 } as const;
const DIRECTION_BITS = { tx: 1, rx: 2, both: 3 } as const;

/** One capture of an engine, from its start to its stop. */
export class Capture {
  readonly #native: Native;
  readonly #engine: EngineHandle;
  /** By the numbers that records have; the first stands for "not dropped". */
  readonly #reasons: readonly string[];
  readonly #buffer = new Uint8Array(CAPTURE_RING);

  /** Starts it. Throws EBUSY when one runs already; `reasons` are the names by their numbers. */
  constructor(native: Native, engine: EngineHandle, reasons: readonly string[], request: CaptureRequest) {
    this.#native = native;
    this.#engine = engine;
    this.#reasons = reasons;
    native.captureStart(engine, packFilter(request, reasons));
  }

  /** What the workers have recorded since the last time, worker by worker. Bytes are valid until the next call. */
  *read(): Generator<CaptureRecord> {
    for (;;) {
      const length = this.#native.captureRead(this.#engine, this.#buffer);
      if (length === 0) return;
      yield* this.#records(this.#buffer.subarray(0, length));
    }
  }

  /** Ends it; what was not read is gone. Returns how many records did not fit, by step. */
  stop(): readonly number[] {
    return this.#native.captureStop(this.#engine);
  }

  *#records(bytes: Uint8Array): Generator<CaptureRecord> {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; at += view.getUint32(at, LITTLE_ENDIAN)) {
      // What the filter did not want after all, with something behind it, has a step of its own.
      const step = CAPTURE_STEPS[view.getUint8(at + 4)];
      if (step === undefined) continue;
      const reason = view.getUint8(at + 5);
      const flags = view.getUint8(at + 7);
      const start = at + HEADER_SIZE;
      yield {
        step,
        reason: reason === 0 ? null : (this.#reasons[reason] ?? null),
        consumed: (flags & FLAG.consumed) !== 0,
        partial: (flags & FLAG.partial) !== 0,
        reply: (flags & FLAG.reply) !== 0,
        tos: view.getUint8(at + 6),
        timeNs: view.getBigUint64(at + 8, LITTLE_ENDIAN),
        bytes: bytes.subarray(start, start + view.getUint32(at + 16, LITTLE_ENDIAN)),
        length: view.getUint32(at + 20, LITTLE_ENDIAN),
        parts: view.getUint32(at + 24, LITTLE_ENDIAN),
        mss: view.getUint16(at + 28, LITTLE_ENDIAN),
        port: view.getUint16(at + 30, LITTLE_ENDIAN),
        peer: unmapped(bytes.slice(at + 32, at + 48)),
      };
    }
  }
}

/** Throws a RangeError for a reason that there is not. */
function packFilter(request: CaptureRequest, reasons: readonly string[]): Uint8Array {
  const { peer, address, reason, direction, snaplen } = request;
  const bytes = new Uint8Array(FILTER_SIZE);
  if (peer !== null) setMapped(bytes, 0, peer);
  if (address !== null) {
    bytes.set(address.ip.bytes, 16);
    bytes[32] = address.ip.family;
    bytes[33] = address.length;
  }
  if (reason !== null) {
    const number = reasons.indexOf(reason);
    if (number < 1) throw new RangeError(`there is no drop reason ${reason}`);
    bytes[34] = number;
  }
  bytes[35] = DIRECTION_BITS[direction ?? "both"];
  new DataView(bytes.buffer).setUint32(36, snaplen, LITTLE_ENDIAN);
  return bytes;
}

/** The address that 16 bytes mean (the reverse of `setMapped`); null when they are zero. */
function unmapped(bytes: Uint8Array): Ip | null {
  if (bytes.every((byte) => byte === 0)) return null;
  const isMapped =
    bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
  return ipFromBytes(isMapped ? bytes.subarray(12) : bytes);
}
