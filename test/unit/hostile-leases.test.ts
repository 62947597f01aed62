/**
 * C20, C21: whatever stands in the registry, a hundred thousand leases of it: nothing throws, what is believed is
 * plausible, and the leases that were there before stay as they are.
 */
import test from "ava";
import fc from "fast-check";
import { parseNetworkConfig } from "../../src/config/network-config.js";
import type { Lease } from "../../src/lease/lease.js";
import { isRejection, makeSnapshot, MAX_LEASES, readLease } from "../../src/lease/policy.js";
import { contains, parseCidr } from "../../src/net/cidr.js";
import { isUnicast } from "../../src/net/ip.js";

const DUAL = parseNetworkConfig(
  '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd05::/48","Backend":{"Type":"vxlan"}}',
);

const value = (n: number): string =>
  `{"PublicIP":"10.99.0.${n}","PublicIPv6":"fd99::${n}","BackendType":"vxlan",` +
  `"BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:0${n}"},"BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:01:0${n}"}}`;
const read = (key: string, text: string) => readLease(key, text, DUAL);

function mustRead(key: string, text: string): Lease {
  const result = read(key, text);
  if (isRejection(result)) throw new Error(result.message);
  return result;
}

const OWN = mustRead("10.5.1.0-24&fd05:0:0:1::-64", value(1));
const GOOD = [2, 3, 4, 5].map((n) => mustRead(`10.5.${n}.0-24&fd05:0:0:${n}::-64`, value(n)));

/** Near the truth, so that every check is the one that matters now and then. */
const octet = fc.oneof(fc.integer({ min: 0, max: 8 }), fc.constantFrom(10, 99, 127, 224, 255, 256));
const address4 = fc.oneof(
  fc.constantFrom(
    "10.99.0.1",
    "10.99.0.2",
    "10.99.0.9",
    "10.5.2.0",
    "0.0.0.0",
    "255.255.255.255",
    "127.0.0.1",
  ),
  fc.tuple(octet, octet, octet, octet).map((octets) => octets.join(".")),
);
const address6 = fc.constantFrom(
  "fd99::1",
  "fd99::2",
  "fd99::9",
  "fd05::1",
  "::",
  "::1",
  "ff02::1",
  "::ffff:1.2.3.4",
  "x",
);
const key = fc.oneof(
  fc.string(),
  fc
    .tuple(fc.constantFrom(5, 6), octet, octet, fc.integer({ min: 22, max: 33 }))
    .map(([b, c, d, length]) => `10.${b}.${c}.${d}-${length}`),
  fc
    .tuple(octet, fc.integer({ min: 0, max: 9 }), fc.constantFrom(0, 48, 63, 64, 65, 128))
    .map(([c, n, length]) => `10.5.${c}.0-24&fd05:0:0:${n}::-${length}`),
);
const mac = fc.constantFrom(
  "02:00:00:00:00:02",
  "02:00:00:00:01:02",
  "02:00:00:00:00:09",
  "ff:ff:ff:ff:ff:ff",
  "01:00:5e:00:00:01",
  "",
);
const data = fc.oneof(
  fc.record({ VNI: fc.constantFrom(1, 1, 2, 1.5, -1, "1"), VtepMAC: mac }),
  fc.jsonValue(),
);
const change = fc.oneof(
  fc.record({ PublicIP: fc.oneof(address4, fc.jsonValue()) }),
  fc.record({ PublicIPv6: fc.oneof(address6, fc.constant(null)) }),
  fc.record({ BackendType: fc.constantFrom("vxlan", "VXLAN", "udp", "", 7) }),
  fc.record({ BackendData: data }),
  fc.record({ BackendV6Data: data }),
);
/** A good lease with a few fields changed. */
const record = fc
  .tuple(fc.integer({ min: 6, max: 9 }), fc.array(change, { maxLength: 3 }))
  .map(([n, changes]) => Object.assign(JSON.parse(value(n)) as object, ...changes) as object);
const text = fc.oneof(
  { weight: 8, arbitrary: record.map((fields) => JSON.stringify(fields)) },
  { weight: 1, arbitrary: fc.json() },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
);

test("C20: 100 000 generated leases: the believed ones are plausible, and no good one moves", (t) => {
  const reasons = new Set<string>();
  let believed = 0;
  const hostile = fc.array(fc.tuple(key, text), { minLength: 200, maxLength: 200, size: "max" });
  fc.assert(
    fc.property(hostile, (leases) => {
      const results = leases.map(([name, json]) => read(name, json));
      const { peers, rejected } = makeSnapshot([...GOOD, ...results], OWN);
      t.deepEqual(peers.slice(0, GOOD.length), GOOD);
      t.is(peers.length + rejected.length, GOOD.length + leases.length);
      for (const { reason } of rejected) reasons.add(reason);
      const prefixes = [OWN, ...peers].flatMap(({ subnets }) => subnets.map(({ prefix }) => prefix.text));
      t.is(new Set(prefixes).size, prefixes.length, "no subnet twice");
      for (const { backend, subnets } of peers) {
        if (backend !== "vxlan" || subnets.length === 0) t.fail("not a lease of this network");
        for (const { prefix, via } of subnets) {
          const pool = prefix.ip.family === 4 ? DUAL.ipv4 : DUAL.ipv6;
          const plausible =
            pool !== null &&
            contains(pool.network, prefix) &&
            prefix.length === pool.subnetLen &&
            isUnicast(via.address) &&
            !contains(pool.network, via.address) &&
            !OWN.subnets.some((own) => own.via.address.text === via.address.text) &&
            via.mac !== null &&
            ((via.mac[0] ?? 1) & 1) === 0;
          if (!plausible) t.fail(`${prefix.text} via ${via.address.text}`);
        }
      }
      believed += peers.length - GOOD.length;
    }),
    { numRuns: 500 },
  );
  t.true(believed > 100, `${believed} were near enough to the truth`);
  t.deepEqual([...reasons].sort(), [
    "address",
    "backend",
    "duplicate",
    "family",
    "length",
    "malformed",
    "outside-network",
    "overlap",
    "self",
    "vni",
  ]);
});

test("C20: of too many leases the oldest are used", (t) => {
  const config = parseNetworkConfig('{"Network":"10.0.0.0/8","SubnetLen":26}');
  const own = readLease("10.0.0.64-26", '{"PublicIP":"192.0.2.1"}', config);
  const peer = readLease("10.0.0.128-26", '{"PublicIP":"192.0.2.9"}', config);
  if (isRejection(own) || isRejection(peer)) throw new Error("not believed");
  const leases = Array.from({ length: MAX_LEASES + 2 }, (_, index): Lease => {
    const n = index + 4;
    const prefix = parseCidr(`10.${n >> 10}.${(n >> 2) & 255}.${(n & 3) << 6}/26`);
    const [subnet] = peer.subnets;
    if (prefix === null || subnet === undefined) throw new Error("no prefix");
    return { ...peer, key: `${index}`, subnets: [{ ...subnet, prefix }] };
  });
  const { peers, rejected } = makeSnapshot(leases, own);
  t.is(peers.length, MAX_LEASES);
  t.deepEqual(
    rejected.map(({ reason }) => reason),
    ["too-many", "too-many"],
  );
});

test("C19: a key that turns bad keeps what it said before, until it is gone", (t) => {
  const [first] = GOOD;
  if (first === undefined) throw new Error("no lease");
  const before = new Map([[first.key, first]]);
  for (const bad of [
    "{",
    value(1),
    value(2).replaceAll("10.99.0.2", "127.0.0.1"),
    value(2).replaceAll('"VNI":1', '"VNI":2'),
  ]) {
    const { peers, rejected } = makeSnapshot([read(first.key, bad)], OWN, before);
    t.deepEqual(peers, [first]);
    t.regex(rejected[0]?.message ?? "", /; what it said before stays in use$/);
  }
  t.deepEqual(makeSnapshot([read(first.key, "{")], OWN).peers, []);
  t.deepEqual(makeSnapshot([], OWN, before).peers, []);
  // Who is older still wins, also against what a younger key said before.
  const older = mustRead("10.5.2.0-24", value(6));
  t.deepEqual(makeSnapshot([older, read(first.key, "{")], OWN, before).peers, [older]);
});

test("C20, C21: a lease with an older one's address and another MAC is refused", (t) => {
  const thief = mustRead("10.5.66.0-24", value(2).replaceAll("02:00:00:00:00:02", "02:00:00:00:00:66"));
  const { peers, rejected } = makeSnapshot([...GOOD, thief], OWN);
  t.deepEqual(peers, GOOD);
  t.is(rejected[0]?.reason, "duplicate");
  const second = mustRead("10.5.66.0-24", value(2));
  t.deepEqual(makeSnapshot([...GOOD, second], OWN).peers, [...GOOD, second], "two leases of one host");
});
