/**
 * Packets of flows, one after the other, as coalescing meets them: mostly such that they merge, with one thing or
 * another that keeps them apart. They come as datagrams of their own or as the kernel's UDP_GRO hands them over.
 */
import fc from "fast-check";
import { be32, byte, type Bytes, join, read32, replaced } from "../support/model/bytes.js";
import { type IpPacket, TCP, UDP, writeIp } from "../support/model/ip.js";
import type { Format } from "../support/model/tx.js";
import { writeFrame } from "../support/model/vxlan.js";
import type { World } from "../support/model/world.js";
import { addressAt, makePacket, type PacketPlan, packetPlan, sealed } from "./packets.js";
import { senderOf } from "./rx-steps.js";
import type { Step } from "./steps.js";

interface StreamPlan {
  readonly packet: PacketPlan;
  /** Flows that take turns; they differ in their source ports. */
  readonly flows: number;
  /** Packets of each flow. */
  readonly count: number;
  readonly size: number;
  readonly changes: readonly Change[];
  /** Handed over in one piece. */
  readonly train: boolean;
}

/** What is different about the n-th packet of all flows. */
interface Change {
  readonly n: number;
  readonly kind: (typeof kinds)[number];
}

const kinds = [
  "push",
  "finish",
  "acknowledgement",
  "sequence",
  "window",
  "echo",
  "urgent",
  "reserved bits",
  "TCP option",
  "TOS",
  "TTL",
  "id",
  "DF",
  "flow label",
  "shorter",
  "longer",
  "empty",
  "options",
  "UDP length",
  "wrong checksum",
  "no checksum",
] as const;

export const streamPlan: fc.Arbitrary<StreamPlan> = fc
  .record({
    packet: packetPlan,
    flows: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 1, max: 3 }) },
      { weight: 1, arbitrary: fc.integer({ min: 15, max: 20 }) },
    ),
    count: fc.oneof(
      { weight: 10, arbitrary: fc.integer({ min: 2, max: 6 }) },
      { weight: 1, arbitrary: fc.integer({ min: 50, max: 70 }) },
    ),
    size: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 1, max: 60 }) },
      { weight: 2, arbitrary: fc.integer({ min: 200, max: 600 }) },
      { weight: 1, arbitrary: fc.integer({ min: 1000, max: 1280 }) },
    ),
    changes: fc.oneof(
      { weight: 2, arbitrary: fc.constant([]) },
      {
        weight: 3,
        arbitrary: fc.array(fc.record({ n: fc.nat({ max: 6 }), kind: fc.constantFrom(...kinds) }), {
          minLength: 1,
          maxLength: 3,
        }),
      },
    ),
    train: fc.boolean(),
  })
  .map((plan) => ({
    ...plan,
    // Many flows or many packets, not both.
    count: plan.flows > 3 ? Math.min(plan.count, 3) : plan.count,
    flows: plan.count > 6 ? 1 : plan.flows,
    packet: { ...plan.packet, protocol: plan.packet.protocol === UDP ? UDP : TCP, extra: 0, tcpFlags: 0x10 },
  }));

export function streamSteps(format: Format, world: World, plan: StreamPlan): Step[] {
  const v6 = plan.packet.v6 && format === "vxlan";
  const source = addressAt(world, v6, { kind: "peer's pod", n: plan.packet.far });
  const destination = addressAt(world, v6, { kind: "own pod", n: plan.packet.near });
  const sender = senderOf(world, source, plan.packet.fill);
  const datagrams: Bytes[] = [];
  for (let n = 0; n < plan.count; n++) {
    for (let flow = 0; flow < plan.flows; flow++) {
      const packet = nth({ ...plan, packet: { ...plan.packet, v6 } }, source, destination, n, flow);
      const payload = writeIp(packet);
      const [to, ethertype] = v6 ? [world.self.mac6, 0x86dd] : [world.self.mac4, 0x0800];
      datagrams.push(
        format === "udp"
          ? payload
          : writeFrame(world.self.vni, { destination: to, source: sender.mac, ethertype, payload }),
      );
    }
  }
  const [first] = datagrams;
  const pieces = plan.train ? [join(...datagrams).subarray(0, 65000)] : datagrams;
  const groSize = plan.train ? (first?.length ?? 0) : 0;
  return pieces.map((data) => ({ kind: "rx", source: sender.address, data, groSize, tos: 0 }));
}

/** The n-th packet of a flow, with its changes. */
function nth(plan: StreamPlan, source: Bytes, destination: Bytes, n: number, flow: number): IpPacket {
  const changes = new Set(plan.changes.filter((change) => change.n === n).map(({ kind }) => kind));
  const has = (kind: Change["kind"], value: number): number => (changes.has(kind) ? value : 0);
  const { packet } = plan;
  const length = changes.has("empty")
    ? 0
    : Math.max(plan.size - has("shorter", Math.ceil(plan.size / 2)) + has("longer", 1), 0);
  const made = makePacket(
    {
      ...packet,
      length,
      id: (packet.id + n + has("id", 1)) % 0x10000,
      tos: (packet.tos & 0xfc) + has("TOS", 4),
      ttl: packet.ttl - has("TTL", 1),
      dontFragment: packet.dontFragment !== changes.has("DF"),
      extra: has("options", 1),
      ports: [packet.ports[0] + flow, packet.ports[1]],
      tcpFlags: packet.tcpFlags | has("push", 8) | has("finish", 1) | has("echo", 0x40) | has("urgent", 0x20),
    },
    source,
    destination,
  );
  const label = made.version === 6 ? { ...made, flowLabel: packet.id + has("flow label", 1) } : made;
  if (packet.protocol === UDP) return spoilUdp(label, changes);
  const first = read32(made.payload, 4) + n * plan.size + has("sequence", 1);
  const edits: readonly (readonly [at: number, value: Bytes])[] = [
    [4, be32(first % 2 ** 32)],
    [11, Uint8Array.of(has("acknowledgement", 1))],
    [12, Uint8Array.of(byte(made.payload, 12) | has("reserved bits", 1))],
    [15, Uint8Array.of(byte(made.payload, 15) ^ has("window", 1))],
    ...(packet.tcpOptions > 0 && changes.has("TCP option") ? [[21, Uint8Array.of(0)] as const] : []),
  ];
  const payload = edits.reduce((data, [at, value]) => replaced(data, at, value), made.payload);
  const right = sealed({ ...label, payload });
  return changes.has("wrong checksum")
    ? { ...right, payload: replaced(right.payload, 17, Uint8Array.of(byte(right.payload, 17) + 1)) }
    : right;
}

function spoilUdp(packet: IpPacket, changes: ReadonlySet<Change["kind"]>): IpPacket {
  const { payload } = packet;
  if (changes.has("no checksum")) return { ...packet, payload: replaced(payload, 6, Uint8Array.of(0, 0)) };
  if (changes.has("wrong checksum")) {
    return { ...packet, payload: replaced(payload, 7, Uint8Array.of(byte(payload, 7) + 1)) };
  }
  const wrongLength = replaced(payload, 5, Uint8Array.of(byte(payload, 5) - 1));
  return changes.has("UDP length") ? sealed({ ...packet, payload: wrongLength }) : packet;
}
