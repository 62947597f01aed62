/** Times the TypeScript loop on packets in memory, laid out and counted as forward_loop.c's `compute` does. */
import { DROPPED, ForwardLoop, OVERHEAD, ROUTES } from "./forward-loop.js";

const SLOT = 2112;
const HEADROOM = 64;
/** Over all packets, until their TTL must be restored. */
const PASSES = 200;

export interface ComputeResult {
  readonly nanoseconds: number;
  /** The last packet as it would leave, in hexadecimal: both languages must agree on it. */
  readonly datagram: string;
}

/** CPU time per packet of `bytes` bytes over at least `milliseconds`; packets of one kind, as code that is warm. */
export function compute(bytes: number, milliseconds: number): ComputeResult {
  const loop = new ForwardLoop();
  const buffer = new Uint8Array(ROUTES * SLOT);
  let spent = 0;
  let packets = 0;
  while (spent < milliseconds) {
    writePackets(buffer, bytes);
    const start = process.cpuUsage();
    for (let i = 0; i < PASSES; i++) forwardAll(loop, buffer, bytes);
    spent += process.cpuUsage(start).user / 1e3;
    packets += PASSES * ROUTES;
  }
  writePackets(buffer, bytes);
  forwardAll(loop, buffer, bytes);
  const last = (ROUTES - 1) * SLOT + HEADROOM - OVERHEAD;
  return {
    nanoseconds: (spent * 1e6) / packets,
    datagram: Buffer.from(buffer.subarray(last, last + OVERHEAD + bytes)).toString("hex"),
  };
}

function forwardAll(loop: ForwardLoop, buffer: Uint8Array, bytes: number): void {
  const headers = new DataView(buffer.buffer);
  for (let at = HEADROOM; at < buffer.length; at += SLOT) {
    const peer = loop.forward(buffer, at, bytes, headers, at - OVERHEAD);
    if (peer === DROPPED) throw new Error("a packet was dropped");
  }
}

function writePackets(buffer: Uint8Array, bytes: number): void {
  for (let i = 0; i < ROUTES; i++) {
    const at = i * SLOT + HEADROOM;
    const lengths = [0x45, 0, bytes >> 8, bytes & 0xff, 0, 0, 0x40, 0, 255, 17, 0, 0];
    buffer.set([...lengths, ...[10, 9, 0, 1], ...[10, 5, i, 9]], at);
    let sum = 0;
    for (let j = 0; j < 20; j += 2) sum += ((buffer[at + j] ?? 0) << 8) | (buffer[at + j + 1] ?? 0);
    sum = ~((sum & 0xffff) + (sum >>> 16));
    buffer[at + 10] = sum >> 8;
    buffer[at + 11] = sum;
  }
}
