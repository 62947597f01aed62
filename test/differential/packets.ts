/**
 * Inner packets from a description: a plan is a handful of small numbers that fast-check draws and shrinks, and only
 * means something in a world. Without faults a plan gives a packet that is let through.
 */
import fc from "fast-check";
import { ip } from "../support/addresses.js";
import { mapped } from "../support/model/addresses.js";
import { be16, be32, type Bytes, byte, join, replaced } from "../support/model/bytes.js";
import { checksum, pseudoHeader } from "../support/model/checksum.js";
import { ICMP, ICMPV6, type IpPacket, isOnItsWay, TCP, UDP } from "../support/model/ip.js";
import { orOtherZero } from "../support/model/transport.js";
import type { Route, World } from "../support/model/world.js";

export interface Place {
  readonly kind: (typeof kinds)[number];
  readonly n: number;
}

/** Where an address may lie; `n` chooses among several. */
const kinds = [
  "own pod",
  "peer's pod",
  "peer's endpoint",
  "own endpoint",
  "own overlay",
  "nobody's",
  "own broadcast",
  "odd",
] as const;

const odd4 = [
  "0.0.0.0",
  "0.1.2.3",
  "127.0.0.1",
  "224.0.0.1",
  "239.1.2.3",
  "240.0.0.1",
  "255.255.255.255",
  "223.255.255.255",
];
const odd6 = ["::", "::1", "::2", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1"];

export const place: fc.Arbitrary<Place> = fc.record({
  kind: fc.constantFrom(...kinds),
  n: fc.nat({ max: 63 }),
});

/** The address at a place. */
export function addressAt({ self, peers, routes }: World, v6: boolean, { kind, n }: Place): Bytes {
  const size = v6 ? 16 : 4;
  const ofSize = (all: readonly Bytes[]): Bytes => {
    const fitting = all.filter(({ length }) => length === size);
    return fitting[n % Math.max(fitting.length, 1)] ?? new Uint8Array(size);
  };
  const member = (mine: (route: Route) => boolean, low: number): Bytes => {
    const fitting = routes.filter((route) => mine(route) && route.prefix.length === size);
    const route = fitting[n % Math.max(fitting.length, 1)];
    return route === undefined ? new Uint8Array(size) : inside(route, low);
  };
  switch (kind) {
    case "own pod":
      return member(({ to }) => to === "local", 2 + (n % 5));
    case "peer's pod":
      return member(({ to }) => to !== "local", 2 + (n % 5));
    case "peer's endpoint":
      return ofSize(peers.map(({ address }) => address));
    case "own endpoint":
      return v6 ? self.source6 : self.source4;
    case "own overlay":
      return ofSize([self.address4, self.address6, self.gateway4, self.gateway6]);
    case "nobody's":
      return bytesOf(v6 ? `2001:db8:ffff::${n.toString(16)}` : `203.0.113.${n}`);
    case "own broadcast":
      return member(({ to }) => to === "local", 0xffff);
    case "odd":
      if (n % 9 === 8) return v6 ? mapped(bytesOf("10.42.2.2")) : bytesOf("10.255.255.255");
      return bytesOf((v6 ? odd6 : odd4)[n % 8] ?? "");
  }
}

/** A prefix with the low bits of a number behind it. */
function inside({ prefix, length }: Route, low: number): Bytes {
  const value = join(new Uint8Array(prefix.length - 4), be32(low === 0xffff ? 0xffffffff : low));
  return prefix.map((bits, i) => {
    const mask = (0xff00 >> Math.min(Math.max(length - i * 8, 0), 8)) & 0xff;
    return (bits & mask) | (byte(value, i) & ~mask);
  });
}

function bytesOf(address: string): Bytes {
  return Uint8Array.from(ip(address).bytes);
}

export interface PacketPlan {
  readonly v6: boolean;
  /** On this host and behind a peer. */
  readonly near: number;
  readonly far: number;
  readonly protocol: number;
  readonly length: number;
  readonly fill: number;
  readonly tos: number;
  readonly ttl: number;
  readonly id: number;
  readonly dontFragment: boolean;
  /** Which of the option lists, or chains of extension headers. */
  readonly extra: number;
  readonly ports: readonly [number, number];
  readonly tcpFlags: number;
  readonly tcpOptions: number;
}

const length = fc.oneof(
  { weight: 12, arbitrary: fc.nat({ max: 80 }) },
  { weight: 2, arbitrary: fc.nat({ max: 1200 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1200, max: 1480 }) },
);

export const packetPlan: fc.Arbitrary<PacketPlan> = fc.record({
  v6: fc.boolean(),
  near: fc.nat({ max: 15 }),
  far: fc.nat({ max: 63 }),
  protocol: fc.constantFrom(TCP, TCP, TCP, UDP, UDP, UDP, ICMP, ICMPV6, 50),
  length,
  fill: fc.nat({ max: 255 }),
  tos: fc.constantFrom(0, 0, 1, 2, 3, 0xb8, 0xba, 0xff),
  ttl: fc.constantFrom(64, 64, 64, 63, 2, 255),
  id: fc.constantFrom(0, 1, 0x1234, 0xfffe, 0xffff),
  dontFragment: fc.boolean(),
  extra: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6),
  ports: fc.tuple(fc.constantFrom(1000, 1001, 53, 8472), fc.constantFrom(80, 443, 2000, 8472)),
  tcpFlags: fc.constantFrom(0x10, 0x10, 0x18, 0x11, 0x02, 0x14, 0x30, 0x90, 0xd0, 0x50),
  tcpOptions: fc.constantFrom(0, 0, 12, 40),
});

/** IPv4 options: none, NOPs, record route, router alert (copied), a mixture, security and an end, malformed. */
const optionLists = [
  "",
  "01010101",
  "070b04000000000000000001",
  "94040000",
  "440c05000000000000000000940400008803ff01",
  "820b0000000000000000000000ffffff",
  "9401ffff",
];

/** IPv6 extension headers: none, hop-by-hop, destination, both, routing that has arrived or not, an atomic fragment. */
const extensionChains: readonly (readonly (readonly [type: number, rest: string])[])[] = [
  [],
  [[0, "00050200000100"]],
  [[60, "00010400000000"]],
  [
    [0, "00010400000000"],
    [60, "01010c000000000000000000000000"],
  ],
  [[43, "00040000000000"]],
  [[43, "02040100000000fd0042000002000000000000000000aa"]],
  [[44, "00000000000001"]],
];

/** The packet of a plan between two addresses, with right lengths and checksums. */
export function makePacket(plan: PacketPlan, source: Bytes, destination: Bytes): IpPacket {
  const { v6, tos, ttl, id, extra, dontFragment } = plan;
  const protocol = plan.protocol === ICMP || plan.protocol === ICMPV6 ? (v6 ? ICMPV6 : ICMP) : plan.protocol;
  const common = {
    source,
    destination,
    tos,
    ttl,
    protocol,
    fragment: null,
    payload: upperLayer(plan, protocol),
  };
  if (!v6) {
    const options = Uint8Array.from(Buffer.from(optionLists[extra] ?? "", "hex"));
    return sealed({ ...common, version: 4, id, dontFragment, reservedFlag: false, options });
  }
  const chain = extensionChains[extra] ?? [];
  const extensions = chain.map(([type, rest], i) => ({
    type,
    bytes: join(chain[i + 1]?.[0] ?? protocol, Buffer.from(rest, "hex")),
  }));
  const fragmentHeader = extensions.some(({ type }) => type === 44) ? { offset: 0, more: false } : null;
  const nextHeader = chain[0]?.[0] ?? protocol;
  const flowLabel = plan.fill * 4096 + plan.id;
  return sealed({
    ...common,
    version: 6,
    flowLabel: flowLabel % 0x100000,
    nextHeader,
    extensions,
    fragment: fragmentHeader,
  });
}

/** Where the checksum is in the upper layer; null when it has none. */
export function checksumPlace(protocol: number): number | null {
  return { [TCP]: 16, [UDP]: 6, [ICMP]: 2, [ICMPV6]: 2 }[protocol] ?? null;
}

/** With a right upper-layer checksum, as far as it has one. Behind a routing header any value will do. */
export function sealed<P extends IpPacket>(packet: P): P {
  const at = checksumPlace(packet.protocol);
  if (at === null || packet.payload.length < at + 2 || isOnItsWay(packet)) return packet;
  const payload = replaced(packet.payload, at, be16(0));
  const { source, destination, protocol } = packet;
  const pseudo = protocol === ICMP ? [] : [pseudoHeader(source, destination, protocol, payload.length)];
  return {
    ...packet,
    payload: replaced(payload, at, be16(orOtherZero(checksum(...pseudo, payload), protocol))),
  };
}

function upperLayer({ length, fill, ports, tcpFlags, tcpOptions }: PacketPlan, protocol: number): Bytes {
  const data = new Uint8Array(length).map((_, i) => fill + i * 7);
  const [source, destination] = ports.map(be16);
  switch (protocol) {
    case TCP: {
      const offset = (5 + tcpOptions / 4) * 16;
      const words = join(
        be32(0xffffff00 + fill),
        be32(fill * 0x1000000),
        offset,
        tcpFlags,
        be16(8192 + fill),
      );
      return join(
        source ?? 0,
        destination ?? 0,
        words,
        be16(0),
        be16(0),
        new Uint8Array(tcpOptions).fill(1),
        data,
      );
    }
    case UDP:
      return join(source ?? 0, destination ?? 0, be16(8 + length), be16(0), data);
    case ICMP:
      return join(8, 0, be16(0), be16(fill), be16(1), data);
    case ICMPV6:
      return join(128, 0, be16(0), be16(fill), be16(1), data);
    default:
      return data;
  }
}
