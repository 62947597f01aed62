/** What may be wrong with a packet: each fault takes one thing that was right and spoils it. */
import fc from "fast-check";
import { be16, byte, type Bytes, join, read16, replaced } from "../support/model/bytes.js";
import { checksum } from "../support/model/checksum.js";
import type { IpPacket } from "../support/model/ip.js";
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

/** A routing header of type 0 that still has one address to go to. */
const routing0 = Buffer.from("0002000100000000fd00004200020000000000000000aaaa".slice(2), "hex");

/** The packet with those faults that leave it a packet. */
export function spoilPacket(packet: IpPacket, all: readonly Fault[]): IpPacket {
  let spoiled = packet;
  const [ttl, route, part] = [fault(all, "ttl"), fault(all, "source route"), fault(all, "fragment")];
  if (ttl !== null) spoiled = { ...spoiled, ttl: ttl.n % 3 };
  if (route !== null) {
    if (spoiled.version === 4) {
      const options = Uint8Array.of(1, route.n % 2 === 0 ? 131 : 137, 3 + 4 * (route.m % 2), 4, 10, 42, 2, 9);
      spoiled = { ...spoiled, options };
    } else {
      const bytes = join(spoiled.nextHeader, routing0);
      spoiled = { ...spoiled, nextHeader: 43, extensions: [{ type: 43, bytes }, ...spoiled.extensions] };
    }
  }
  if (part !== null) {
    const offset = part.n % 2 === 0 ? 0 : 8 * part.m;
    const more = part.n % 3 !== 0;
    if (spoiled.version === 4) {
      spoiled = { ...spoiled, fragment: { offset, more } };
    } else {
      const bytes = join(spoiled.nextHeader, 0, be16(offset + Number(more)), 0, 0, 0, part.n);
      spoiled = { ...spoiled, nextHeader: 44, extensions: [{ type: 44, bytes }, ...spoiled.extensions] };
    }
  }
  if (fault(all, "reserved flag") !== null && spoiled.version === 4)
    spoiled = { ...spoiled, reservedFlag: true };
  return spoiled;
}

/** The bytes with those faults that may leave no packet at all. The header checksum is mostly made right again. */
export function spoilBytes(data: Bytes, all: readonly Fault[]): Bytes {
  let spoiled = data;
  for (const { kind, ...each } of all) {
    if (!("n" in each)) continue;
    const { n, m } = each;
    switch (kind) {
      case "overwrite":
        spoiled = replaced(spoiled, n % Math.max(Math.min(spoiled.length, 70), 1), Uint8Array.of(m)).subarray(
          0,
          data.length,
        );
        if (m % 8 !== 0) spoiled = withHeaderChecksum(spoiled);
        break;
      case "truncate":
        spoiled = spoiled.subarray(0, n % 2 === 0 ? Math.max(spoiled.length - m, 0) : m % 45);
        break;
      case "pad":
        spoiled = join(spoiled, new Uint8Array(n % 50).fill(m));
        break;
      case "length": {
        const at = byte(spoiled, 0) >> 4 === 4 ? 2 : 4;
        spoiled = replaced(spoiled, at, be16(n % 2 === 0 ? m : read16(spoiled, at) + m - 128));
        spoiled = withHeaderChecksum(spoiled).subarray(0, data.length);
        break;
      }
      case "checksum":
        spoiled = replaced(spoiled, 10, be16(read16(spoiled, 10) + 1 + n)).subarray(0, data.length);
        break;
      case "version":
        spoiled = replaced(
          spoiled,
          0,
          Uint8Array.of(
            (byte(spoiled, 0) & (n % 2 === 0 ? 0xf0 : 0x0f)) | ((m % 16) * (n % 2 === 0 ? 1 : 16)),
          ),
        );
        break;
    }
  }
  return spoiled;
}

/** What looks like an IPv4 header with a right checksum, as far as it is whole. */
function withHeaderChecksum(data: Bytes): Bytes {
  const length = (byte(data, 0) & 15) * 4;
  if (byte(data, 0) >> 4 !== 4 || length < 20 || length > data.length) return data;
  const zeroed = replaced(data, 10, be16(0));
  return replaced(zeroed, 10, be16(checksum(zeroed.subarray(0, length))));
}
