/** Datagrams as peers and strangers send them: single ones, and what a peer behind offloads leaves undone. */
import fc from "fast-check";
import { be16, be32, byte, type Bytes, join, replaced } from "../support/model/bytes.js";
import { type IpPacket, writeIp } from "../support/model/ip.js";
import { checksumOffset, withPartialChecksum } from "../support/model/transport.js";
import type { Format } from "../support/model/tx.js";
import { longestMatch, type Peer, type World } from "../support/model/world.js";
import { type Fault, fault, misplaced, rxFaults, spoilBytes, spoilPacket } from "./faults.js";
import { addressAt, makePacket, type PacketPlan, packetPlan, type Place } from "./packets.js";
import type { Step } from "./steps.js";

interface RxPlan {
  readonly packet: PacketPlan;
  readonly faults: readonly Fault[];
  /** Which of the sending host's rows. */
  readonly row: number;
  readonly outerTos: number;
  readonly checksum: "right" | "partial" | "wrong" | "none";
  /** Larger than the MTU, as from a kernel on the same machine; 0: not. */
  readonly large: number;
  readonly groSize: number;
}

export const rxPlan: fc.Arbitrary<RxPlan> = fc.record({
  packet: packetPlan,
  faults: rxFaults,
  row: fc.nat({ max: 5 }),
  outerTos: fc.constantFrom(0, 0, 0, 1, 2, 0xb8, 0xba),
  checksum: fc.constantFrom("right", "right", "right", "partial", "partial", "wrong", "none"),
  large: fc.oneof(
    { weight: 20, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.integer({ min: 1300, max: 4000 }) },
  ),
  groSize: fc.constantFrom(0, 0, 0, 0, 1, 500, 1000, 1372, 1400),
});

const nearby: readonly Place["kind"][] = ["own pod", "own pod", "own pod", "own overlay"];

export function rxStep(format: Format, world: World, plan: RxPlan): Step {
  const { packet: inner, faults, outerTos } = plan;
  const v6 = inner.v6 && (format === "vxlan" || inner.fill % 8 === 0);
  const source = misplaced(faults, "source") ?? { kind: "peer's pod", n: inner.far };
  const destination = misplaced(faults, "destination") ?? {
    kind: nearby[inner.near % nearby.length] ?? "own pod",
    n: inner.near,
  };
  const [from, to] = [addressAt(world, v6, source), addressAt(world, v6, destination)];
  const length = Math.max(inner.length, plan.large);
  const whole = withChecksum(makePacket({ ...inner, v6, length }, from, to), plan.checksum);
  const packet = spoilPacket(whole, faults);
  const data = spoilBytes(writeIp(packet), faults);
  const sender = senderOf(world, from, plan.row);
  const marked = fault(faults, "congestion") !== null;
  const stranger = fault(faults, "stranger");
  // Never so small that one piece becomes hundreds of datagrams.
  const groSize = plan.groSize === 0 ? 0 : Math.max(plan.groSize, Math.ceil(data.length / 5));
  return {
    kind: "rx",
    source:
      stranger === null ? sender.address : (strangers(world, sender.address.length)[stranger.n % 4] ?? from),
    data: format === "udp" ? data : wrap(world, sender, packet, data, faults),
    groSize,
    tos: marked ? outerTos | 3 : outerTos,
  };
}

/** A row of the host that leases the source; the first peer's when nobody does. */
export function senderOf(world: World, source: Bytes, n: number): Peer {
  const to = longestMatch(world, source)?.to;
  const owner = world.peers[typeof to === "number" ? to : 0];
  const rows = world.peers.filter(({ node }) => node === owner?.node);
  const row = rows[n % rows.length];
  if (row === undefined) throw new RangeError("a world without peers");
  return row;
}

/** An address nobody has, one next to a peer's, this host's own, and another peer's. */
function strangers({ self, peers }: World, size: number): Bytes[] {
  const some = peers[3]?.address ?? new Uint8Array(4);
  const near = replaced(some, some.length - 1, Uint8Array.of(99));
  return [new Uint8Array(size).fill(9), near, size === 4 ? self.source4 : self.source6, some];
}

function withChecksum(packet: IpPacket, checksum: RxPlan["checksum"]): IpPacket {
  const at = checksumOffset(packet.protocol);
  if (at === null || checksum === "right") return packet;
  if (checksum === "partial") return withPartialChecksum(packet).packet;
  const field = checksum === "none" ? be16(0) : Uint8Array.of(byte(packet.payload, at) + 1);
  return { ...packet, payload: replaced(packet.payload, at, field) };
}

/** The VXLAN frame around an inner packet, from the sender's VTEP to this one. */
function wrap(world: World, sender: Peer, packet: IpPacket, data: Bytes, faults: readonly Fault[]): Bytes {
  const { self, peers } = world;
  const macs = [
    ...peers.map(({ mac }) => mac),
    self.mac4,
    ...["000000000000", "ffffffffffff", "020304050607", "030405060708"].map((text) =>
      Buffer.from(text, "hex"),
    ),
  ];
  const other = (n: number): Bytes => macs[n % macs.length] ?? sender.mac;
  const [flags, vni] = [fault(faults, "flags"), fault(faults, "vni")];
  const [to, from, type] = [
    fault(faults, "destination MAC"),
    fault(faults, "source MAC"),
    fault(faults, "ethertype"),
  ];
  const ethertypes = [0x0806, 0x8100, 0x0800, 0x86dd, 0x0000, 0x88cc];
  const header = join(be32(0x08000000), be32((self.vni ^ (vni === null ? 0 : 1 << (vni.n % 24))) * 256));
  const own = packet.version === 4 ? self.mac4 : self.mac6;
  return join(
    flags === null
      ? header
      : header.map((value, i) => (i === [0, 1, 2, 3, 7][flags.n % 5] ? flags.m : value)),
    to === null ? own : other(to.n),
    from === null ? sender.mac : other(from.n),
    be16(type === null ? (packet.version === 4 ? 0x0800 : 0x86dd) : (ethertypes[type.n % 6] ?? 0)),
    data,
  );
}
