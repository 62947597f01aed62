/**
 * What a scenario is made of, what the model says to each step, and the same as bytes for and from the core. Both
 * sides come out as text: equal text is equal behaviour, and a difference can be read.
 */
import { mapped } from "../support/model/addresses.js";
import { be16, be32, type Bytes, hex, join } from "../support/model/bytes.js";
import type { Written } from "../support/model/coalesce.js";
import { Host, type Settings } from "../support/model/host.js";
import type { Received } from "../support/model/rx.js";
import type { Offload } from "../support/model/transport.js";
import type { Datagram } from "../support/model/tx.js";
import type { World } from "../support/model/world.js";
import { packWorld } from "./rows.js";

export type Step =
  | { readonly kind: "tables"; readonly world: World }
  | { readonly kind: "clock"; readonly ms: number }
  | { readonly kind: "path"; readonly peer: Bytes; readonly mtu: number; readonly local: boolean }
  | { readonly kind: "tx"; readonly data: Bytes; readonly offload: Offload }
  | { readonly kind: "refuse"; readonly mtu: number }
  | ({ readonly kind: "rx" } & Received)
  | { readonly kind: "flush" };

export interface Scenario {
  readonly settings: Settings;
  /** Datagrams per run of the send queue. */
  readonly datagrams: number;
  readonly steps: readonly Step[];
}

export function resetRequest({ settings, datagrams }: Scenario): Bytes {
  const { format, coalesce, coalesceUdp } = settings;
  return request("R", Number(format === "vxlan"), be16(datagrams), Number(coalesce), Number(coalesceUdp));
}

export function stepRequest(step: Step): Bytes {
  switch (step.kind) {
    case "tables": {
      const { self, peers, routes } = packWorld(step.world);
      const lengths = [self, peers, routes].map(({ length }) => be32(length));
      return request("T", ...lengths, self, peers, routes);
    }
    case "clock":
      return request("C", be32(step.ms));
    case "path":
      return request("P", mapped(step.peer), be32(step.mtu), Number(step.local));
    case "tx": {
      const { gso, mss, partial } = step.offload;
      const kind = gso === null ? 0 : gso === "tcp" ? 1 : 2;
      const offsets = [be16(partial?.start ?? 0), be16(partial?.offset ?? 0)];
      return request("X", kind, be16(mss), Number(partial !== null), ...offsets, step.data);
    }
    case "refuse":
      return request("E", be32(step.mtu));
    case "rx":
      return request("D", mapped(step.source), be32(step.groSize), step.tos, step.data);
    case "flush":
      return request("F");
  }
}

export const statisticsRequest = request("S");

/** Lets the model take a step; what it answers, line by line. */
export function modelStep(host: Host, step: Step): string[] {
  switch (step.kind) {
    case "tables":
      host.setWorld(step.world);
      return [];
    case "clock":
      host.nowMs = step.ms;
      return [];
    case "path":
      host.learnPath(step.peer, step.mtu, step.local);
      return [];
    case "tx": {
      const { verdict, reply } = host.tx(step.data, step.offload);
      return verdictLines(verdict ?? "", reply ?? new Uint8Array());
    }
    case "refuse":
      return replyLines(host.refuse(step.mtu) ?? new Uint8Array());
    case "rx":
      return host.rx(step).map(({ verdict, length }) => `${length} bytes: ${verdict ?? ""}`);
    case "flush": {
      const { datagrams, written } = host.flush();
      return [...datagramLines(datagrams), ...written.map(writtenLine)];
    }
  }
}

/** What the model says at the end: counters and peers, as the core does. */
export function modelStatistics(host: Host, counters: readonly string[]): string[] {
  return [
    ...counters.map((name) => `${name}: ${host.counters.get(name) ?? 0}`),
    ...host.senders().map(({ datagrams, bytes, lastMs }) => `peer: ${datagrams} ${bytes} ${lastMs}`),
  ];
}

/** The core's answer to a step in the same words as the model's. */
export function coreAnswer(step: Step, response: Buffer, reasons: readonly string[]): string[] {
  const reader = new Reader(response);
  switch (step.kind) {
    case "tx":
      return verdictLines(reasons[reader.u8()] ?? "?", reader.rest());
    case "refuse":
      return replyLines(reader.rest());
    case "rx": {
      const lines: string[] = [];
      while (!reader.done) {
        const verdict = reasons[reader.u8()] ?? "?";
        lines.push(`${reader.u32()} bytes: ${verdict}`);
      }
      return lines;
    }
    case "flush":
      return flushLines(reader);
    default:
      return [];
  }
}

export function coreStatistics(response: Buffer, counters: readonly string[]): string[] {
  const reader = new Reader(response);
  const lines = counters.map((name) => `${name}: ${reader.u64()}`);
  while (!reader.done) lines.push(`peer: ${reader.u64()} ${reader.u64()} ${reader.u64()}`);
  return lines;
}

function flushLines(reader: Reader): string[] {
  const datagrams: Datagram[] = [];
  for (let n = reader.u32(); n > 0; n--) {
    const [peer, port, tos] = [reader.u32(), reader.u8(), reader.u8()];
    datagrams.push({ peer, port, tos, data: reader.bytes(reader.u32()) });
  }
  const lines = datagramLines(datagrams);
  for (let n = reader.u32(); n > 0; n--) {
    const [gso, mss, partial, start, offset] = [
      reader.u8(),
      reader.u16(),
      reader.u8(),
      reader.u16(),
      reader.u16(),
    ];
    const offload: Offload = {
      gso: gso === 0 ? null : gso === 1 ? "tcp" : "udp",
      mss,
      partial: partial === 0 ? null : { start, offset },
    };
    lines.push(writtenLine({ segments: reader.u32(), data: reader.bytes(reader.u32()), offload }));
  }
  return lines;
}

function verdictLines(reason: string, reply: Bytes): string[] {
  return [reason, ...replyLines(reply)];
}

function replyLines(reply: Bytes): string[] {
  return reply.length === 0 ? [] : [`reply: ${hex(reply)}`];
}

/** Which way's datagrams leave first is left open: only those of one peer and port keep their order. */
function datagramLines(datagrams: readonly Datagram[]): string[] {
  return [...datagrams]
    .sort((a, b) => a.peer - b.peer || a.port - b.port)
    .map(({ peer, port, tos, data }) => `to peer ${peer} from port ${port}, tos ${tos}: ${hex(data)}`);
}

function writtenLine({ data, offload, segments }: Written): string {
  const { gso, mss, partial } = offload;
  const finish = partial === null ? "" : `, checksum from ${partial.start} at ${partial.offset}`;
  return `to the TUN, ${segments} packets${gso === null ? "" : `, ${gso} by ${mss}`}${finish}: ${hex(data)}`;
}

function request(letter: string, ...parts: readonly (number | Bytes)[]): Bytes {
  return join(letter.charCodeAt(0), ...parts);
}

/** Integers and bytes off the front of a response. */
class Reader {
  #at = 0;

  constructor(private readonly data: Buffer) {}

  get done(): boolean {
    return this.#at >= this.data.length;
  }

  u8(): number {
    return this.data.readUInt8(this.#advance(1));
  }

  u16(): number {
    return this.data.readUInt16BE(this.#advance(2));
  }

  u32(): number {
    return this.data.readUInt32BE(this.#advance(4));
  }

  u64(): number {
    return Number(this.data.readBigUInt64BE(this.#advance(8)));
  }

  bytes(length: number): Buffer {
    const at = this.#advance(length);
    return this.data.subarray(at, at + length);
  }

  rest(): Buffer {
    return this.bytes(this.data.length - this.#at);
  }

  #advance(length: number): number {
    const at = this.#at;
    this.#at += length;
    if (this.#at > this.data.length) throw new RangeError("the core's answer is too short");
    return at;
  }
}
