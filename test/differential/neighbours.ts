/** What a kernel VXLAN device without static neighbours asks: ARP requests and neighbour solicitations, right or not. */
import fc from "fast-check";
import { be16, type Bytes, join, replaced } from "../support/model/bytes.js";
import { ICMPV6, writeIp } from "../support/model/ip.js";
import { ARP_TYPE, IPV6_TYPE, writeFrame } from "../support/model/vxlan.js";
import type { World } from "../support/model/world.js";
import { spoilBytes } from "./faults.js";
import { addressAt, place, type Place, sealed } from "./packets.js";
import type { Step } from "./steps.js";

interface NeighbourPlan {
  readonly v6: boolean;
  readonly row: number;
  readonly wanted: Place;
  readonly asker: Place;
  readonly change:
    | ""
    | "type"
    | "code"
    | "hop limit"
    | "option"
    | "no option"
    | "checksum"
    | "overwrite"
    | "truncate"
    | "pad";
  readonly n: number;
  readonly m: number;
  /** How often it is asked at once: now and then more than is answered. */
  readonly times: number;
}

const own: fc.Arbitrary<Place> = fc.record({ kind: fc.constant("own overlay"), n: fc.nat({ max: 3 }) });
const pod: fc.Arbitrary<Place> = fc.record({ kind: fc.constant("peer's pod"), n: fc.nat({ max: 9 }) });

export const neighbourPlan: fc.Arbitrary<NeighbourPlan> = fc.record({
  v6: fc.boolean(),
  row: fc.nat({ max: 4 }),
  wanted: fc.oneof({ weight: 4, arbitrary: own }, { weight: 1, arbitrary: place }),
  asker: fc.oneof({ weight: 4, arbitrary: pod }, { weight: 1, arbitrary: place }),
  change: fc.constantFrom(
    ...([
      "",
      "",
      "",
      "",
      "",
      "type",
      "code",
      "hop limit",
      "option",
      "no option",
      "checksum",
      "overwrite",
      "truncate",
      "pad",
    ] as const),
  ),
  n: fc.nat({ max: 255 }),
  m: fc.nat({ max: 255 }),
  times: fc.oneof({ weight: 60, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.constant(55) }),
});

export function neighbourSteps(world: World, plan: NeighbourPlan): Step[] {
  const { v6, row, change, n, m } = plan;
  const peer = world.peers[row];
  if (peer === undefined) throw new RangeError(`no peer ${row}`);
  const [wanted, asker] = [addressAt(world, v6, plan.wanted), addressAt(world, v6, plan.asker)];
  const whole = v6 ? solicitation(plan, asker, wanted, peer.mac) : arpRequest(plan, asker, wanted, peer.mac);
  const payload =
    change === "overwrite" || change === "truncate" || change === "pad"
      ? spoilBytes(whole, [{ kind: change, n, m }])
      : whole;
  const destination = new Uint8Array(6).fill(255);
  const ethertype = v6 ? IPV6_TYPE : ARP_TYPE;
  const data = writeFrame(world.self.vni, { destination, source: peer.mac, ethertype, payload });
  return Array.from({ length: plan.times }, () => ({
    kind: "rx",
    source: peer.address,
    data,
    groSize: 0,
    tos: 0,
  }));
}

function arpRequest({ change, n }: NeighbourPlan, asker: Bytes, wanted: Bytes, mac: Bytes): Bytes {
  const operation = change === "type" ? n % 4 : 1;
  return join(
    be16(change === "code" ? n : 1),
    be16(0x0800),
    6,
    4,
    be16(operation),
    mac,
    asker,
    new Uint8Array(6),
    wanted,
  );
}

function solicitation({ change, n, m }: NeighbourPlan, asker: Bytes, wanted: Bytes, mac: Bytes): Bytes {
  const type = change === "type" ? 130 + (n % 10) : 135;
  const option =
    change === "no option" ? [] : change === "option" ? [n % 4, m % 4, mac, mac, 1, 1] : [1, 1, mac];
  const packet = sealed({
    version: 6,
    source: asker,
    destination: join(Buffer.from("ff0200000000000000000001ff", "hex"), wanted.slice(13)),
    tos: 0,
    flowLabel: 0,
    nextHeader: ICMPV6,
    ttl: change === "hop limit" ? n : 255,
    extensions: [],
    protocol: ICMPV6,
    fragment: null,
    payload: join(type, change === "code" ? n : 0, be16(0), 0, 0, 0, 0, wanted, ...option),
  });
  return change === "checksum" ? replaced(writeIp(packet), 42, be16(m)) : writeIp(packet);
}
