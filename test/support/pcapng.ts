/**
 * A reader of pcapng files, written from the specification (draft-ietf-opsawg-pcapng) and not from the writer: every
 * length, magic and option is looked at, and what is not as it must be is an error.
 */
import { viewOf } from "./packets.js";

export interface PcapngFile {
  readonly application: string;
  readonly interfaces: readonly PcapngInterface[];
  readonly packets: readonly PcapngPacket[];
  /** By number of the interface. */
  readonly statistics: ReadonlyMap<number, { readonly received: number; readonly dropped: number }>;
}

export interface PcapngInterface {
  readonly name: string;
  readonly linkType: number;
  readonly snaplen: number;
  readonly ticksPerSecond: number;
}

export interface PcapngPacket {
  /** Name of the interface. */
  readonly on: string;
  readonly timeNs: bigint;
  readonly comment: string;
  readonly direction: "in" | "out";
  /** From the IP header on. */
  readonly bytes: Uint8Array;
  readonly length: number;
}

type Options = ReadonlyMap<number, Uint8Array>;

export function readPcapng(file: Uint8Array): PcapngFile {
  let application = "";
  const interfaces: PcapngInterface[] = [];
  const packets: PcapngPacket[] = [];
  const statistics = new Map<number, { received: number; dropped: number }>();
  blocks(file).forEach(({ type, body }, i) => {
    const view = viewOf(body);
    if ((i === 0) !== (type === 0x0a0d0d0a)) throw new Error("not one section header, at the beginning");
    if (type === 0x0a0d0d0a) {
      const version = view.getUint16(4, true) + view.getUint16(6, true) / 10;
      if (view.getUint32(0, true) !== 0x1a2b3c4d || version !== 1) throw new Error("byte order or version");
      application = textOf(options(body.subarray(16)), 4);
    } else if (type === 1) {
      const all = options(body.subarray(8));
      const resolution = all.get(9)?.[0] ?? 6;
      interfaces.push({
        name: textOf(all, 2),
        linkType: view.getUint16(0, true),
        snaplen: view.getUint32(4, true),
        ticksPerSecond: 10 ** resolution,
      });
    } else if (type === 6) {
      const captured = view.getUint32(12, true);
      const end = 20 + captured + (-captured & 3);
      const all = options(body.subarray(end));
      const seen = interfaces[view.getUint32(0, true)];
      const flags = all.get(2);
      if (seen === undefined || flags?.length !== 4) throw new Error("a packet of no interface or direction");
      packets.push({
        on: seen.name,
        timeNs: (BigInt(view.getUint32(4, true)) << 32n) | BigInt(view.getUint32(8, true)),
        comment: textOf(all, 1),
        direction: (flags[0] ?? 0) === 1 ? "in" : "out",
        bytes: withoutFamily(body.subarray(20, 20 + captured)),
        length: view.getUint32(16, true) - 4,
      });
    } else if (type === 5) {
      const all = options(body.subarray(12));
      statistics.set(view.getUint32(0, true), { received: numberOf(all, 4), dropped: numberOf(all, 5) });
    } else {
      throw new Error(`block of type ${type}`);
    }
  });
  return { application, interfaces, packets, statistics };
}

function blocks(file: Uint8Array): { readonly type: number; readonly body: Uint8Array }[] {
  const view = viewOf(file);
  const found = [];
  for (let at = 0; at < file.length;) {
    const length = view.getUint32(at + 4, true);
    if (length % 4 !== 0 || length < 12 || at + length > file.length) throw new Error(`length at ${at}`);
    if (view.getUint32(at + length - 4, true) !== length) throw new Error(`second length at ${at}`);
    found.push({ type: view.getUint32(at, true), body: file.subarray(at + 8, at + length - 4) });
    at += length;
  }
  return found;
}

/** The packet behind the header of LINKTYPE_NULL. */
function withoutFamily(bytes: Uint8Array): Uint8Array {
  const family = viewOf(bytes).getUint32(0, true);
  if (family !== ((bytes[4] ?? 0) >> 4 === 6 ? 30 : 2)) throw new Error(`address family ${family}`);
  return bytes.subarray(4);
}

function options(bytes: Uint8Array): Options {
  const view = viewOf(bytes);
  const found = new Map<number, Uint8Array>();
  let at = 0;
  while (view.getUint16(at, true) !== 0) {
    const length = view.getUint16(at + 2, true);
    found.set(view.getUint16(at, true), bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length + (-length & 3);
  }
  if (at + 4 !== bytes.length) throw new Error("bytes behind the end of the options");
  return found;
}

function textOf(all: Options, code: number): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(all.get(code) ?? new Uint8Array());
}

function numberOf(all: Options, code: number): number {
  return Number(viewOf(all.get(code) ?? new Uint8Array()).getBigUint64(0, true));
}
