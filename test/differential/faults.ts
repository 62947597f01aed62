/** What may be wrong with a packet: each fault takes one thing that was right and spoils it. */
import fc from "fast-check";
import { be16, be32, byte, type Bytes, join, read16, replaced } from "../support/model/bytes.js";
import { checksum } from "../support/model/checksum.js";
import type { IpPacket, Ipv6 } from "../support/model/ip.js";
import { place, type Place } from "./packets.js";

export type Fault =
  | { readonly kind: "source" | "destination"; readonly place: Place }
  | {
      readonly kind: PacketFault | ByteFault | TunnelFault | OffloadFault;
      readonly n: number;
      readonly m: number;
    };

type PacketFault = (typeof packetFaults)[number];
type ByteFault = (typeof byteFaults)[number];
type TunnelFault = (typeof tunnelFaults)[number];
type OffloadFault = (typeof offloadFaults)[number];

const packetFaults = ["ttl", "source route", "fragment", "reserved flag"] as const;
const byteFaults = ["overwrite", "overwrite", "truncate", "pad", "length", "checksum", "version"] as const;
const tunnelFaults = [
  "flags",
  "vni",
  "destination MAC",
  "source MAC",
  "ethertype",
  "stranger",
  "congestion",
] as const;
const offloadFaults = ["offload", "too big"] as const;

const numbers = { n: fc.nat({ max: 255 }), m: fc.nat({ max: 255 }) };

function faultOf(...more: readonly (TunnelFault | OffloadFault)[]): fc.Arbitrary<Fault> {
  return fc.oneof(
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constantFrom("source" as const, "destination" as const), place }),
    },
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constantFrom(...packetFaults, ...byteFaults, ...more), ...numbers }),
    },
  );
}

/** None for most packets. */
function faults(fault: fc.Arbitrary<Fault>): fc.Arbitrary<readonly Fault[]> {
  return fc.oneof(
    { weight: 5, arbitrary: fc.constant([]) },
    { weight: 4, arbitrary: fc.array(fault, { minLength: 1, maxLength: 2 }) },
  );
}

export const txFaults = faults(faultOf(...offloadFaults));
export const rxFaults = faults(faultOf(...tunnelFaults));

/** Up to three changes to the bytes of a real packet. */
export const mutations: fc.Arbitrary<readonly Fault[]> = fc.array(
  fc.record({ kind: fc.constantFrom(...byteFaults), ...numbers }),
  { maxLength: 3 },
);

/** The place that a fault puts in for an address; null when there is no such fault. */
export function misplaced(all: readonly Fault[], end: "source" | "destination"): Place | null {
  for (const fault of all) if (fault.kind === end) return fault.place;
  return null;
}

/** The numbers of a fault of a kind; null when there is none. */
export function fault(
  all: readonly Fault[],
  kind: PacketFault | TunnelFault | OffloadFault,
): { readonly n: number; readonly m: number } | null {
  for (const each of all) if (each.kind === kind && "n" in each) return each;
  return null;
}

/** The packet with those faults that leave it a packet. */
export function spoilPacket(packet: IpPacket, all: readonly Fault[]): IpPacket {
  const [ttl, route, part] = [fault(all, "ttl"), fault(all, "source route"), fault(all, "fragment")];
  let spoiled = packet;
  if (ttl !== null) spoiled = { ...spoiled, ttl: ttl.n % 3 };
  if (route !== null) spoiled = withSourceRoute(spoiled, route.n, route.m);
  if (part !== null) spoiled = asFragment(spoiled, part.n % 2 === 0 ? 0 : 8 * part.m, part.n % 3 !== 0);
  if (fault(all, "reserved flag") !== null && spoiled.version === 4) {
    spoiled = { ...spoiled, reservedFlag: true };
  }
  return spoiled;
}

/** Loose or strict, whole or with a wrong length; or a routing header of type 0 that has one address to go to. */
function withSourceRoute(packet: IpPacket, n: number, m: number): IpPacket {
  if (packet.version === 6) return withExtension(packet, 43, join(2, 0, 1, new Uint8Array(4), packet.source));
  return { ...packet, options: Uint8Array.of(1, n % 2 === 0 ? 131 : 137, 3 + 4 * (m % 2), 4, 10, 42, 2, 9) };
}

function asFragment(packet: IpPacket, offset: number, more: boolean): IpPacket {
  if (packet.version === 4) return { ...packet, fragment: { offset, more } };
  return withExtension(packet, 44, join(0, be16(offset + Number(more)), be32(offset)));
}

/** An extension header in front of all others; `rest` is what follows its first byte. */
function withExtension(packet: Ipv6, type: number, rest: Bytes): Ipv6 {
  const first = { type, bytes: join(packet.nextHeader, rest) };
  return { ...packet, nextHeader: type, extensions: [first, ...packet.extensions] };
}

/** The bytes with those faults that may leave no packet at all. The header checksum is mostly made right again. */
export function spoilBytes(data: Bytes, all: readonly Fault[]): Bytes {
  let spoiled = data;
  for (const each of all) if ("n" in each) spoiled = spoilOnce(spoiled, each);
  return spoiled;
}

function spoilOnce(data: Bytes, { kind, n, m }: Extract<Fault, { n: number }>): Bytes {
  switch (kind) {
    case "overwrite": {
      const spoiled = overwritten(data, n % Math.max(Math.min(data.length, 70), 1), Uint8Array.of(m));
      return m % 8 === 0 ? spoiled : withHeaderChecksum(spoiled);
    }
    case "truncate":
      return data.subarray(0, n % 2 === 0 ? Math.max(data.length - m, 0) : m % 45);
    case "pad":
      return join(data, new Uint8Array(n % 50).fill(m));
    case "length": {
      const at = byte(data, 0) >> 4 === 4 ? 2 : 4;
      return withHeaderChecksum(overwritten(data, at, be16(n % 2 === 0 ? m : read16(data, at) + m - 128)));
    }
    case "checksum":
      return overwritten(data, 10, be16(read16(data, 10) + 1 + n));
    case "version":
      // The version, or the length of the IPv4 header beside it.
      return overwritten(data, 0, Uint8Array.of(n % 2 === 0 ? 0x40 + (m % 16) : m));
    default:
      return data;
  }
}

/** Bytes of the same length with others at a place, as far as they reach. */
function overwritten(data: Bytes, at: number, part: Bytes): Bytes {
  return replaced(data, at, part).subarray(0, data.length);
}

/** What looks like an IPv4 header with a right checksum, as far as it is whole. */
function withHeaderChecksum(data: Bytes): Bytes {
  const length = (byte(data, 0) & 15) * 4;
  if (byte(data, 0) >> 4 !== 4 || length < 20 || length > data.length) return data;
  const zeroed = replaced(data, 10, be16(0));
  return replaced(zeroed, 10, be16(checksum(zeroed.subarray(0, length))));
}
