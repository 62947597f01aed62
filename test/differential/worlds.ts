/**
 * Overlays to test in: one host with its peers, always of the same shape, with whatever a network may add to it.
 *
 *   this host   192.0.2.1, 2001:db8::1    10.42.1.0/24 (or smaller), fd00:42:1::/64
 *   node 10     192.0.2.2, 2001:db8::2    10.42.2.0/24, fd00:42:2::/64    dual-stack; 198.51.100.2 is an alias
 *   node 20     192.0.2.3                 10.42.3.0/24, fd00:42:3::/64
 *   node 30     2001:db8::4               10.42.4.0/24, fd00:42:4::/64
 */
import fc from "fast-check";
import { ip } from "../support/addresses.js";
import { type Bytes, hex, join } from "../support/model/bytes.js";
import type { Peer, Route, World } from "../support/model/world.js";

const text = (address: string): Bytes => Uint8Array.from(ip(address).bytes);
const absent4 = new Uint8Array(4);
const absent6 = new Uint8Array(16);

/** MAC of a VTEP: of a host, for a family. */
const mac = (host: number, family: number): Bytes => Uint8Array.of(2, 0, 0, 0, host, family);

/** The rows of one host stand next to each other. */
const peers: readonly Peer[] = [
  { address: text("192.0.2.2"), node: 10, mac: mac(2, 4), noEcn: false },
  { address: text("2001:db8::2"), node: 10, mac: mac(2, 6), noEcn: false },
  { address: text("198.51.100.2"), node: 10, mac: mac(2, 4), noEcn: false },
  { address: text("192.0.2.3"), node: 20, mac: mac(3, 4), noEcn: false },
  { address: text("2001:db8::4"), node: 30, mac: mac(4, 6), noEcn: false },
];

/** Who leases what besides its first subnets: other hosts' subnets inside, underlay addresses, other networks, everything. */
const extraRoutes: readonly Route[] = [
  { prefix: text("10.42.2.128"), length: 25, to: 3 },
  { prefix: text("10.42.2.200"), length: 32, to: 4 },
  { prefix: text("10.42.3.64"), length: 26, to: "local" },
  { prefix: text("192.0.2.0"), length: 24, to: 3 },
  { prefix: text("192.0.2.3"), length: 32, to: 0 },
  { prefix: text("192.0.2.1"), length: 32, to: 3 },
  { prefix: text("10.42.1.255"), length: 32, to: 0 },
  { prefix: text("198.51.100.0"), length: 23, to: 0 },
  { prefix: text("172.16.0.0"), length: 23, to: 3 },
  { prefix: text("10.0.0.0"), length: 9, to: 0 },
  { prefix: text("0.0.0.0"), length: 0, to: 3 },
  { prefix: text("fd00:42:2:0:8000::"), length: 65, to: 3 },
  { prefix: text("fd00:42:1::1:0"), length: 112, to: 0 },
  { prefix: text("2001:db8::"), length: 32, to: 4 },
  { prefix: text("2001:db8::2"), length: 128, to: 4 },
  { prefix: text("2001:db8:1::"), length: 48, to: 1 },
  { prefix: text("fd00::"), length: 8, to: 1 },
];

/** Random prefixes inside the network, for the longest match. */
const randomRoute: fc.Arbitrary<Route> = fc
  .record({
    v6: fc.boolean(),
    host: fc.integer({ min: 1, max: 4 }),
    tail: fc.uint8Array({ minLength: 1, maxLength: 1 }),
    more: fc.integer({ min: 0, max: 8 }),
    to: fc.constantFrom(0, 1, 3, 4, "local" as const),
  })
  .map(({ v6, host, tail, more, to }) =>
    v6
      ? {
          prefix: join(text(`fd00:42:${host}::`).slice(0, 8), tail, new Uint8Array(7)),
          length: 64 + more,
          to,
        }
      : { prefix: join(10, 42, host, tail), length: 24 + more, to },
  );

export const world: fc.Arbitrary<World> = fc
  .record({
    vni: fc.constantFrom(1, 0x010203, 0xffffff),
    mtu: fc.constantFrom(1400, 1400, 1450, 1472, 1280, 8950),
    admit: fc.constantFrom(
      ...[0, 0, 0, 1, 2, 4, 8, 15].map((bits) => ({
        external: (bits & 1) !== 0,
        bridged: (bits & 2) !== 0,
        lenient: (bits & 4) !== 0,
        gbp: (bits & 8) !== 0,
      })),
    ),
    /** Without an underlay address, an overlay address, or gateways of one family. */
    without: fc.constantFrom("", "", "", "source4", "source6", "overlay4", "overlay6", "gateways"),
    noEcn: fc.nat({ max: 31 }),
    ownLength: fc.constantFrom(24, 24, 24, 29, 30, 31, 32),
    extra: fc.subarray([...extraRoutes], { maxLength: 3 }),
    random: fc.array(randomRoute, { maxLength: 4 }),
  })
  .map(({ vni, mtu, admit, without, noEcn, ownLength, extra, random }) => ({
    self: {
      vni,
      mtu,
      port: 8472,
      admit,
      source4: without === "source4" ? absent4 : text("192.0.2.1"),
      source6: without === "source6" ? absent6 : text("2001:db8::1"),
      address4: without === "overlay4" ? absent4 : text("10.42.1.0"),
      address6: without === "overlay6" ? absent6 : text("fd00:42:1::"),
      gateway4: without === "gateways" ? absent4 : text("10.42.1.1"),
      gateway6: without === "gateways" ? absent6 : text("fd00:42:1::1"),
      mac4: mac(1, 4),
      mac6: mac(1, 6),
    },
    peers: peers.map((peer, i) => ({ ...peer, noEcn: (noEcn & (1 << i)) !== 0 })),
    routes: distinct([
      { prefix: text("10.42.1.0"), length: ownLength, to: "local" },
      { prefix: text("fd00:42:1::"), length: 64, to: "local" },
      { prefix: text("10.42.2.0"), length: 24, to: 0 },
      { prefix: text("fd00:42:2::"), length: 64, to: 1 },
      { prefix: text("10.42.3.0"), length: 24, to: 3 },
      { prefix: text("fd00:42:3::"), length: 64, to: 3 },
      { prefix: text("10.42.4.0"), length: 24, to: 4 },
      { prefix: text("fd00:42:4::"), length: 64, to: 4 },
      ...extra,
      ...random,
    ]),
  }));

/** Of equal prefixes only the first: two leases of one prefix are sorted out before there are tables. */
function distinct(routes: readonly Route[]): Route[] {
  const seen = new Map(routes.toReversed().map((route) => [covered(route), route]));
  return [...seen.values()].toReversed();
}

/** A prefix without the bits behind its length. */
function covered({ prefix, length }: Route): string {
  const masked = prefix.map((value, i) => value & (0xff00 >> Math.min(Math.max(length - i * 8, 0), 8)));
  return `${hex(masked)}/${length}`;
}
