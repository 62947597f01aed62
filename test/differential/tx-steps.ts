/** Packets as the kernel hands them over through the TUN, super-packets and unfinished checksums included. */
import fc from "fast-check";
import { type IpPacket, headerLength, totalLength, writeIp } from "../support/model/ip.js";
import { checksumOffset, noOffload, type Offload, withPartialChecksum } from "../support/model/transport.js";
import type { World } from "../support/model/world.js";
import { type Fault, fault, misplaced, spoilBytes, spoilPacket, txFaults } from "./faults.js";
import { addressAt, makePacket, type PacketPlan, packetPlan, type Place } from "./packets.js";
import type { Step } from "./steps.js";

interface TxPlan {
  readonly packet: PacketPlan;
  readonly faults: readonly Fault[];
  /** What of TCP and UDP is left to the device. */
  readonly offload: "nothing" | "checksum" | "segmentation";
  readonly mss: number;
  /** Bytes of a super-packet. */
  readonly large: number;
}

const sizes = fc.oneof(
  { weight: 60, arbitrary: fc.integer({ min: 1, max: 3000 }) },
  { weight: 8, arbitrary: fc.integer({ min: 3000, max: 9000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 9000, max: 65400 }) },
);

export const txPlan: fc.Arbitrary<TxPlan> = fc.record({
  packet: packetPlan,
  faults: txFaults,
  offload: fc.constantFrom("nothing", "nothing", "nothing", "checksum", "segmentation"),
  mss: fc.constantFrom(1, 100, 536, 1000, 1220, 1340, 1360, 1388, 1400, 1448, 9000),
  large: sizes,
});

const nearby: readonly Place["kind"][] = [
  "own pod",
  "own pod",
  "own pod",
  "own overlay",
  "nobody's",
  "own endpoint",
];

export function txStep(world: World, { packet: plan, faults, offload, mss, large }: TxPlan): Step {
  const { v6, near, far } = plan;
  const source = misplaced(faults, "source") ?? { kind: nearby[near % nearby.length] ?? "own pod", n: near };
  const destination = misplaced(faults, "destination") ?? { kind: "peer's pod", n: far };
  const offloaded = checksumOffset(plan.protocol) === null ? "nothing" : offload;
  const tooBig = fault(faults, "too big");
  const length = offloaded === "segmentation" || tooBig !== null ? large : plan.length;
  const [from, to] = [addressAt(world, v6, source), addressAt(world, v6, destination)];
  const whole = spoilPacket(makePacket({ ...plan, length: fitting(plan, length) }, from, to), faults);
  if (offloaded === "nothing") {
    return { kind: "tx", data: spoilBytes(writeIp(whole), faults), offload: noOffload };
  }
  const { packet, partial } = withPartialChecksum(whole);
  const segmented = offloaded === "segmentation";
  const right: Offload = {
    gso: !segmented ? null : partial?.offset === 16 ? "tcp" : "udp",
    // As many segments as a worker meets; each costs the model a copy of its payload.
    mss: segmented ? Math.max(mss, Math.ceil(length / 90)) : 0,
    partial,
  };
  const spoilt = fault(faults, "offload");
  return {
    kind: "tx",
    data: spoilBytes(writeIp(packet), faults),
    offload: spoilt === null ? right : spoil(right, packet, spoilt.n, spoilt.m),
  };
}

/** The most that an IP packet of this plan's headers holds, if `length` is more. */
function fitting(plan: PacketPlan, length: number): number {
  return Math.min(length, 65535 - 150 - plan.tcpOptions);
}

/** One field of the vnet header made wrong, or at least unusual. */
function spoil(right: Offload, packet: IpPacket, n: number, m: number): Offload {
  const { start, offset } = right.partial ?? { start: 0, offset: 0 };
  switch (n % 6) {
    case 0:
      return { ...right, partial: { start: start + m - 128 < 0 ? m : start + m - 128, offset } };
    case 1:
      return { ...right, partial: { start, offset: m } };
    case 2:
      return {
        ...right,
        partial: { start: headerLength(packet), offset: totalLength(packet) - start - (m % 3) },
      };
    case 3:
      return { ...right, mss: right.gso === null ? 0 : (m % 2) * 0xffff };
    case 4:
      return { ...right, gso: right.gso === "tcp" ? "udp" : "tcp", mss: 1000 };
    default:
      return { ...right, partial: null };
  }
}
