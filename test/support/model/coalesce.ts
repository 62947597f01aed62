/**
 * Coalescing (GRO): packets of one flow that follow each other become one super-packet, if cutting it again gives
 * back exactly those packets. The rules are written down in native/core/gro.h.
 */
import { be16, type Bytes, equal, hex, join, read16, replaced } from "./bytes.js";
import { type IpPacket, TCP, totalLength, UDP, writeIp } from "./ip.js";
import {
  CWR,
  FIN,
  type Offload,
  parseTcp,
  PSH,
  RST,
  SYN,
  type TcpSegment,
  URG,
  withPartialChecksum,
  writeTcp,
} from "./transport.js";

const MOST_FLOWS = 16;
const MOST_SEGMENTS = 64;
const LARGEST_PACKET = 65535;

/** A packet on its way to the TUN. */
export interface Admitted {
  readonly packet: IpPacket;
  readonly offload: Offload;
  /** Its checksum was looked at and is right, or is the kernel's to complete. */
  readonly verified: boolean;
}

/** What is written to the TUN: a packet, or as many as were coalesced into it. */
export interface Written {
  readonly data: Bytes;
  readonly offload: Offload;
  readonly segments: number;
}

/** One packet of a flow, ready to be joined to others. */
interface Part extends Admitted {
  /** Null for UDP. */
  readonly tcp: TcpSegment | null;
  readonly data: Bytes;
}

export class Coalescer {
  readonly written: Written[] = [];
  /** Packets that wait, by flow; oldest flow first. */
  readonly #waiting = new Map<string, Part[]>();

  constructor(
    private readonly enabled: boolean,
    private readonly udp: boolean,
  ) {}

  receive(admitted: Admitted): void {
    const key = flowOf(admitted.packet);
    if (!this.enabled || key === null) {
      this.#write(admitted);
      return;
    }
    const part = this.#mergeable(admitted);
    const flow = this.#waiting.get(key);
    if (part !== null && flow !== undefined && continues(flow, part)) {
      flow.push(part);
    } else {
      if (flow !== undefined) this.#flushFlow(key, flow);
      if (part === null) {
        this.#write(admitted);
        return;
      }
      const [oldest] = this.#waiting;
      if (this.#waiting.size === MOST_FLOWS && oldest !== undefined) this.#flushFlow(...oldest);
      this.#waiting.set(key, [part]);
    }
    const now = this.#waiting.get(key) ?? [];
    if (closes(now, part)) this.#flushFlow(key, now);
  }

  /** Writes everything that waits. */
  flush(): void {
    for (const [key, flow] of this.#waiting) this.#flushFlow(key, flow);
  }

  #flushFlow(key: string, flow: readonly Part[]): void {
    this.#waiting.delete(key);
    const { packet, offload } = joined(flow);
    this.written.push({ data: writeIp(packet), offload, segments: flow.length });
  }

  #write({ packet, offload }: Admitted): void {
    this.written.push({ data: writeIp(packet), offload, segments: 1 });
  }

  /** Null for a packet that no other may be joined to. */
  #mergeable(admitted: Admitted): Part | null {
    const { packet, offload, verified } = admitted;
    const plain = packet.version === 4 ? packet.options.length === 0 : packet.extensions.length === 0;
    if (offload.gso !== null || !verified || !plain) return null;
    if (packet.protocol === UDP) {
      const right = read16(packet.payload, 4) === packet.payload.length && packet.payload.length > 8;
      return this.udp && right ? { ...admitted, tcp: null, data: packet.payload.slice(8) } : null;
    }
    const tcp = parseTcp(packet.payload);
    if (tcp === null || (tcp.flags & (SYN | RST | URG | CWR)) !== 0 || tcp.data.length === 0) return null;
    return { ...admitted, tcp, data: tcp.data };
  }
}

/** Addresses, protocol and ports as text; null when a packet has no ports. */
function flowOf({ source, destination, protocol, payload, fragment }: IpPacket): string | null {
  const shortest = protocol === TCP ? 20 : protocol === UDP ? 8 : Infinity;
  if (fragment !== null || payload.length < shortest) return null;
  return [source, destination, Uint8Array.of(protocol), payload.subarray(0, 4)].map(hex).join(" ");
}

function continues(flow: readonly Part[], next: Part): boolean {
  const [first] = flow;
  if (first === undefined || flow.length === MOST_SEGMENTS) return false;
  const length = totalLength(first.packet) + sum(flow.slice(1)) + next.data.length;
  return (
    length <= LARGEST_PACKET &&
    next.data.length <= first.data.length &&
    sameIp(first.packet, next.packet, flow.length) &&
    sameTcp(first.tcp, next.tcp, sum(flow))
  );
}

/** Everything in the IP header but lengths, checksum, and an id that counts up or, with DF, does not matter. */
function sameIp(first: IpPacket, next: IpPacket, n: number): boolean {
  if (first.tos !== next.tos || first.ttl !== next.ttl) return false;
  if (first.version === 6) return next.version === 6 && first.flowLabel === next.flowLabel;
  return (
    next.version === 4 &&
    first.dontFragment === next.dontFragment &&
    first.reservedFlag === next.reservedFlag &&
    (first.dontFragment || next.id === (first.id + n) % 0x10000)
  );
}

/** `sent`: bytes of data since the first segment's sequence number. FIN and PSH may come with the last. */
function sameTcp(first: TcpSegment | null, next: TcpSegment | null, sent: number): boolean {
  if (first === null || next === null) return first === next;
  const flags = (tcp: TcpSegment): number => tcp.flags & ~(FIN | PSH);
  return (
    next.sequence === (first.sequence + sent) % 2 ** 32 &&
    first.acknowledgement === next.acknowledgement &&
    first.headerLength === next.headerLength &&
    first.reserved === next.reserved &&
    flags(first) === flags(next) &&
    first.window === next.window &&
    first.urgent === next.urgent &&
    equal(first.options, next.options)
  );
}

/** Whether nothing may follow: the packet pushes or ends the stream, or is shorter than the first. */
function closes(flow: readonly Part[], last: Part | null): boolean {
  if (last === null) return false;
  return ((last.tcp?.flags ?? 0) & (FIN | PSH)) !== 0 || last.data.length < (flow[0]?.data.length ?? 0);
}

/** The super-packet: the first packet's headers around the data of all. */
function joined(flow: readonly Part[]): { readonly packet: IpPacket; readonly offload: Offload } {
  const [first] = flow;
  if (first === undefined) throw new RangeError("an empty flow");
  if (flow.length === 1) return first;
  const data = join(...flow.map((part) => part.data));
  const gso = first.tcp === null ? "udp" : "tcp";
  const flags = flow.reduce((all, part) => all | (part.tcp?.flags ?? 0), 0);
  const payload =
    first.tcp === null
      ? replaced(join(first.packet.payload.subarray(0, 8), data), 4, be16(8 + data.length))
      : writeTcp({ ...first.tcp, flags, data });
  const { packet, partial } = withPartialChecksum({ ...first.packet, payload });
  return { packet, offload: { gso, mss: first.data.length, partial } };
}

function sum(parts: readonly Part[]): number {
  return parts.reduce((length, { data }) => length + data.length, 0);
}
