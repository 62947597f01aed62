/**
 * Capture files for Wireshark and tcpdump: pcapng (draft-ietf-opsawg-pcapng), one little-endian section with times in
 * nanoseconds. Pure: values in, the bytes of a block out. A file is the header, any number of packets, and the
 * statistics of each interface.
 *
 * In front of an IP packet stands its address family (LINKTYPE_NULL). LINKTYPE_RAW, which needs nothing there, would
 * be simpler, but libpcap (1.10) refuses files with more than one interface of it.
 */

/** Where packets were seen. Interfaces are numbered in the order in which the header has them. */
export interface CaptureInterface {
  readonly name: string;
  readonly description: string;
}

export interface CapturePacket {
  /** Number of the interface. */
  readonly interface: number;
  /** Since 1970. */
  readonly timeNs: bigint;
  readonly direction: "in" | "out";
  /** An IP packet; may have been cut, or damaged. */
  readonly bytes: Uint8Array;
  /** Before it was cut. */
  readonly length: number;
  readonly comment: string;
}

const BLOCK = { section: 0x0a0d0d0a, interface: 1, statistics: 5, packet: 6 } as const;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const LINKTYPE_NULL = 0;
/** BSD's numbers; of the three in use for IPv6, one that all readers know. */
const ADDRESS_FAMILY = { 4: 2, 6: 30 } as const;
const OPTION = {
  end: 0,
  comment: 1,
  name: 2,
  description: 3,
  application: 4,
  flags: 2,
  resolution: 9,
} as const;
const STATISTIC = { received: 4, dropped: 5 } as const;
/** Decimal digits of a second, as if_tsresol counts them. */
const NANOSECONDS = 9;

/** The section header and one description per interface, without a limit to the length of packets. */
export function fileHeader(application: string, interfaces: readonly CaptureInterface[]): Uint8Array {
  const section = block(
    BLOCK.section,
    fields([4, BYTE_ORDER_MAGIC], [2, 1], [2, 0], [8, 0xffff_ffff_ffff_ffffn]),
    option(OPTION.application, Buffer.from(application)),
  );
  const descriptions = interfaces.map(({ name, description }) =>
    block(
      BLOCK.interface,
      fields([2, LINKTYPE_NULL], [2, 0], [4, 0]),
      option(OPTION.name, Buffer.from(name)),
      option(OPTION.description, Buffer.from(description)),
      option(OPTION.resolution, fields([1, NANOSECONDS])),
    ),
  );
  return Buffer.concat([section, ...descriptions]);
}

/** An enhanced packet block. */
export function filePacket(packet: CapturePacket): Uint8Array {
  const { bytes, timeNs } = packet;
  const family = fields([4, ADDRESS_FAMILY[(bytes[0] ?? 0) >> 4 === 6 ? 6 : 4]]);
  const lengths = [bytes.length, packet.length].map((length): Field => [4, family.length + length]);
  return block(
    BLOCK.packet,
    fields([4, packet.interface], ...timestamp(timeNs), ...lengths),
    padded(Buffer.concat([family, bytes])),
    option(OPTION.comment, Buffer.from(packet.comment)),
    option(OPTION.flags, fields([4, packet.direction === "in" ? 1 : 2])),
  );
}

/** An interface statistics block: of `received` packets that were wanted, `dropped` are not in the file. */
export function fileStatistics(
  number: number,
  timeNs: bigint,
  { received, dropped }: { readonly received: number; readonly dropped: number },
): Uint8Array {
  return block(
    BLOCK.statistics,
    fields([4, number], ...timestamp(timeNs)),
    option(STATISTIC.received, fields([8, BigInt(received)])),
    option(STATISTIC.dropped, fields([8, BigInt(dropped)])),
  );
}

type Field = readonly [size: 1 | 2 | 4, value: number] | readonly [size: 8, value: bigint];

/** Integers, little-endian, one behind the other. */
function fields(...list: readonly Field[]): Buffer {
  const bytes = Buffer.alloc(list.reduce((sum, [size]) => sum + size, 0));
  let at = 0;
  for (const [size, value] of list) {
    if (size === 8) bytes.writeBigUInt64LE(value, at);
    else bytes.writeUIntLE(value, at, size);
    at += size;
  }
  return bytes;
}

/** The upper half first, whatever the byte order. */
function timestamp(timeNs: bigint): Field[] {
  return [
    [4, Number(timeNs >> 32n)],
    [4, Number(timeNs & 0xffff_ffffn)],
  ];
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}

function option(code: number, value: Uint8Array): Buffer {
  return Buffer.concat([fields([2, code], [2, value.length]), padded(value)]);
}

/** A block: type and length, its fields and options, their end, and the length again. */
function block(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat([...parts, fields([2, OPTION.end], [2, 0])]);
  const length = content.length + 12;
  return Buffer.concat([fields([4, type], [4, length]), content, fields([4, length])]);
}
