/** Leases: flannel's bytes both ways, what is believed of them, and which one a node takes. */
import test from "ava";
import fc from "fast-check";
import { ConfigError, WeftError } from "../../src/config/errors.js";
import { type NetworkConfig, parseNetworkConfig, type Pool } from "../../src/config/network-config.js";
import { chooseSubnet, FIRST_CANDIDATES } from "../../src/lease/allocator.js";
import { decodeRecord, encodeValue, formatKey, type LeaseRecord, parseKey } from "../../src/lease/codec.js";
import type { Lease } from "../../src/lease/lease.js";
import { planLease } from "../../src/lease/plan.js";
import { isRejection, makeSnapshot, olderHolder, readLease } from "../../src/lease/policy.js";
import type { LeaseRequest } from "../../src/lease/registry.js";
import { type Cidr, cidr, network, overlaps, parseCidr } from "../../src/net/cidr.js";
import { ipFromBytes, parseIp } from "../../src/net/ip.js";

const UDP = parseNetworkConfig('{"Network":"10.5.0.0/16"}');
const VXLAN = parseNetworkConfig('{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}');
const DUAL = parseNetworkConfig(
  '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd05::/48","Backend":{"Type":"vxlan"}}',
);

const UDP_VALUE = '{"PublicIP":"10.99.0.1","PublicIPv6":null}';
const VXLAN_VALUE =
  '{"PublicIP":"10.99.0.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"b6:c4:b1:af:9e:94"}}';
const DUAL_VALUE =
  '{"PublicIP":"10.99.0.1","PublicIPv6":"fd99::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"b6:c4:b1:af:9e:94"},"BackendV6Data":{"VNI":1,"VtepMAC":"66:f0:00:00:00:01"}}';
const DUAL_KEY = "10.5.69.0-24&fd05:0:0:4e::-64";

function record(value: string, key = "10.5.32.0-24"): LeaseRecord {
  const result = decodeRecord(key, value);
  if (isRejection(result)) throw new Error(result.message);
  return result;
}

/** The reason of a rejection, or the lease in words. */
function reading(config: NetworkConfig, value: string, key = "10.5.32.0-24"): string {
  const result = readLease(key, value, config);
  if (isRejection(result)) return result.reason;
  return result.subnets
    .map(
      ({ prefix, via }) =>
        `${prefix.text} via ${via.address.text} ${via.mac === null ? "-" : Buffer.from(via.mac).toString("hex")}`,
    )
    .join(", ");
}

function pool(config: NetworkConfig): Pool {
  if (config.ipv4 === null) throw new Error("no IPv4");
  return config.ipv4;
}

function subnet(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === null) throw new Error(text);
  return parsed;
}

test("what is read is written again, byte for byte as flannel writes it", (t) => {
  for (const [key, value] of [
    ["10.5.32.0-24", UDP_VALUE],
    ["10.5.32.0-24", VXLAN_VALUE],
    [DUAL_KEY, DUAL_VALUE],
  ] as const) {
    const read = record(value, key);
    t.is(encodeValue(read), value);
    t.is(formatKey(read), key);
  }
});

test("the node id goes where flannel does not look", (t) => {
  const udp = encodeValue({ ...record(UDP_VALUE), nodeId: "n" });
  t.is(udp, '{"PublicIP":"10.99.0.1","PublicIPv6":null,"BackendData":{"weft":{"id":"n"}}}');
  t.is(record(udp).nodeId, "n");
  const vxlan = encodeValue({ ...record(VXLAN_VALUE), nodeId: "n" });
  t.is(vxlan, VXLAN_VALUE.replace('"}}', '","weft":{"id":"n"}}}'));
});

test("names are read in any case, and fields that are unknown or missing are no error", (t) => {
  const value =
    '{"publicip":"10.99.0.1","BACKENDTYPE":"vxlan","backenddata":{"vtepMAC":"B6:C4:B1:AF:9E:94","X":1},"Y":[]}';
  t.is(reading(VXLAN, value), "10.5.32.0/24 via 10.99.0.1 b6c4b1af9e94");
  t.is(record(value).vni, null);
});

test("keys that flannel or weft cannot read are refused", (t) => {
  const wrong = [
    "",
    "config",
    "10.5.32.0",
    "10.5.32.0-",
    "10.5.32.0-33",
    "10.5.32.1-24",
    "10.05.32.0-24",
    "10.5.32.0-024",
  ];
  for (const key of [
    ...wrong,
    "x10.5.32.0-24",
    "10.5.32.0-24&",
    "10.5.69.0-24&fd05::1-64",
    "10.5.69.0-24&1.2.3.4-24",
  ]) {
    t.is(parseKey(key), null, key);
    t.is(reading(UDP, UDP_VALUE, key), "malformed", key);
  }
});

test("values that say nothing usable are refused", (t) => {
  const wrong = [
    "",
    "null",
    "[]",
    "{}",
    '{"PublicIP":1}',
    '{"PublicIP":"10.99.0"}',
    '{"PublicIP":"fd99::1"}',
  ];
  for (const value of [
    ...wrong,
    '{"PublicIP":"10.99.0.1","PublicIPv6":"10.99.0.1"}',
    VXLAN_VALUE.replace("b6", "b7"),
  ]) {
    t.is(reading(VXLAN, value), "malformed", value);
  }
  t.is(reading(UDP, `${UDP_VALUE}${" ".repeat(4096)}`), "oversized");
});

test("hostile bytes never throw", (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), fc.string(), (value, key) => {
      t.is(typeof reading(DUAL, value, DUAL_KEY), "string");
      t.is(typeof reading(DUAL, DUAL_VALUE, key), "string");
    }),
  );
});

test("a lease counts when it fits the network and this node's backend", (t) => {
  t.is(reading(UDP, UDP_VALUE), "10.5.32.0/24 via 10.99.0.1 -");
  t.is(reading(UDP, VXLAN_VALUE), "backend");
  t.is(reading(VXLAN, UDP_VALUE), "backend");
  t.is(reading(VXLAN, VXLAN_VALUE.replace('"VNI":1', '"VNI":2')), "vni");
  t.is(reading(VXLAN, VXLAN_VALUE.replace(',"VtepMAC":"b6:c4:b1:af:9e:94"', "")), "family");
  t.is(reading(UDP, UDP_VALUE, "10.6.32.0-24"), "outside-network");
  t.is(reading(UDP, UDP_VALUE, "10.5.32.0-25"), "length");
  t.is(reading(UDP, UDP_VALUE, "0.0.0.0-0"), "outside-network");
  for (const address of ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.5.1.1"]) {
    t.is(reading(UDP, UDP_VALUE.replace("10.99.0.1", address)), "address", address);
  }
});

test("only flannel's udp proxy takes no ECN marks from the outer header", (t) => {
  const ecn = (config: NetworkConfig, value: string): boolean[] => {
    const result = readLease("10.5.32.0-24", value, config);
    return isRejection(result) ? [] : result.subnets.map(({ via }) => via.ecn);
  };
  t.deepEqual(ecn(UDP, UDP_VALUE), [false]);
  t.deepEqual(ecn(UDP, encodeValue({ ...record(UDP_VALUE), nodeId: "weft's" })), [true]);
  t.deepEqual(ecn(VXLAN, VXLAN_VALUE), [true]);
});

test("of a dual-stack lease each family goes its own way, and only IPv4 where there is no IPv6", (t) => {
  const v4 = "10.5.69.0/24 via 10.99.0.1 b6c4b1af9e94";
  t.is(reading(DUAL, DUAL_VALUE, DUAL_KEY), `${v4}, fd05:0:0:4e::/64 via fd99::1 66f000000001`);
  t.is(reading(VXLAN, DUAL_VALUE, DUAL_KEY), v4);
  t.is(reading(DUAL, DUAL_VALUE, "10.5.69.0-24"), v4);
  t.is(reading(DUAL, VXLAN_VALUE, DUAL_KEY), "family");
  t.is(reading(DUAL, DUAL_VALUE, "10.5.69.0-24&fd06::-64"), "outside-network");
});

test("of two leases for a subnet the older counts; nobody else has this node's subnet or address", (t) => {
  const lease = (key: string, address: string): Lease => {
    const result = readLease(key, UDP_VALUE.replace("10.99.0.1", address), UDP);
    if (isRejection(result)) throw new Error(result.message);
    return result;
  };
  const own = lease("10.5.1.0-24", "10.99.0.1");
  const { peers, rejected } = makeSnapshot(
    [
      lease("10.5.2.0-24", "10.99.0.2"),
      lease("10.5.2.0-24&fd05::-64", "10.99.0.3"),
      lease("10.5.1.0-24&fd05::-64", "10.99.0.4"),
      lease("10.5.3.0-24", "10.99.0.1"),
      { key: "x", reason: "malformed", message: "" },
    ],
    own,
  );
  t.deepEqual(
    peers.map(({ key }) => key),
    ["10.5.2.0-24"],
  );
  t.deepEqual(
    rejected.map(({ key, reason }) => `${key} ${reason}`),
    ["10.5.2.0-24&fd05::-64 overlap", "10.5.1.0-24&fd05::-64 overlap", "10.5.3.0-24 self", "x malformed"],
  );
});

test("a free subnet is one of the first hundred, or the previous one", (t) => {
  const first = chooseSubnet(pool(UDP), [], [], FIRST_CANDIDATES, () => 0);
  const last = chooseSubnet(pool(UDP), [], [], FIRST_CANDIDATES, () => 0.999999);
  t.is(first?.text, "10.5.1.0/24");
  t.is(last?.text, "10.5.100.0/24");
  t.is(chooseSubnet(pool(UDP), [], [subnet("10.5.200.0/24")], 100, () => 0)?.text, "10.5.200.0/24");
  for (const unfit of ["10.5.0.0/24", "10.6.1.0/24", "10.5.200.0/25"]) {
    t.is(chooseSubnet(pool(UDP), [], [subnet(unfit)], 100, () => 0)?.text, "10.5.1.0/24", unfit);
  }
  const taken = [subnet("10.5.200.0/24")];
  t.is(chooseSubnet(pool(UDP), taken, [subnet("10.5.200.0/24")], 100, () => 0)?.text, "10.5.1.0/24");
  t.is(
    chooseSubnet(pool(UDP), [subnet("10.5.0.0/16")], [], 100, () => 0),
    null,
  );
});

test("what is chosen is free, fits, and is found whenever there is one", (t) => {
  const small = pool(parseNetworkConfig('{"Network":"10.5.0.0/24","SubnetLen":28,"SubnetMin":"10.5.0.32"}'));
  const anyTaken = fc.array(
    fc
      .tuple(fc.nat(255), fc.integer({ min: 24, max: 32 }))
      .map(([host, length]) => network(cidr(ipFromBytes(Uint8Array.of(10, 5, 0, host)), length))),
  );
  const all = Array.from({ length: 14 }, (_, index) => subnet(`10.5.0.${32 + index * 16}/28`));
  fc.assert(
    fc.property(anyTaken, fc.double({ min: 0, max: 0.999, noNaN: true }), (taken, chance) => {
      const free = all.filter((candidate) => !taken.some((other) => overlaps(candidate, other)));
      const chosen = chooseSubnet(small, taken, [], 100, () => chance);
      t.is(chosen?.text, free[Math.floor(chance * free.length)]?.text);
    }),
  );
});

test("a pool with ten thousand leases is no harder", (t) => {
  const large = pool(parseNetworkConfig('{"Network":"10.0.0.0/8"}'));
  const taken = Array.from({ length: 10_000 }, (_, index) =>
    subnet(`10.${(index + 1) >> 8}.${(index + 1) & 255}.0/24`),
  );
  t.is(chooseSubnet(large, taken.reverse(), [], 100, () => 0)?.text, "10.39.17.0/24");
});

test("an IPv6 subnet has the number of the IPv4 one where it can, so that nodes race for one thing", (t) => {
  const dual = { ...request({ config: DUAL, publicIpv6: parseIp("fd99::1") }) };
  const keyOf = (taken: readonly Cidr[], changes: Partial<LeaseRequest> = {}): string | undefined =>
    planLease({ ...dual, ...changes }, [], taken, 1, () => 0)?.key;
  t.is(keyOf([]), "10.5.1.0-24&fd05:0:0:1::-64");
  t.is(keyOf([subnet("10.5.1.0/24")]), "10.5.2.0-24&fd05:0:0:2::-64");
  t.is(keyOf([subnet("10.5.1.0/24"), subnet("fd05:0:0:2::/64")]), "10.5.2.0-24&fd05:0:0:1::-64");
  t.is(keyOf([], { previousSubnet6: "fd05:0:0:4e::1/64" }), "10.5.1.0-24&fd05:0:0:4e::-64");
});

test("C21: a lease that is older than the own one and has its subnet is named", (t) => {
  const lease = (key: string, address: string): Lease => {
    const result = readLease(key, UDP_VALUE.replace("10.99.0.1", address), UDP);
    if (isRejection(result)) throw new Error(result.message);
    return result;
  };
  const own = lease("10.5.32.0-24", "10.99.0.1");
  const others = [lease("10.5.31.0-24", "10.99.0.2"), lease("10.5.32.0-24&fd05::-64", "10.99.0.3")];
  t.is(olderHolder(others, own), "10.5.32.0-24&fd05::-64");
  t.is(olderHolder(others.slice(0, 1), own), null);
});

function request(changes: Partial<LeaseRequest> = {}): LeaseRequest {
  return {
    publicIp: parseIp("10.99.0.1"),
    publicIpv6: null,
    config: UDP,
    previousSubnet: null,
    previousSubnet6: null,
    nodeId: null,
    reclaim: false,
    ...changes,
  };
}

function plan(asked: LeaseRequest, records: LeaseRecord[] = []) {
  const taken = records.map((one) => one.subnet);
  return planLease(asked, records, taken, FIRST_CANDIDATES, () => 0);
}

test("the lease with this host's address comes first, then the previous subnet, then a free one", (t) => {
  const own = record(UDP_VALUE, "10.5.40.0-24");
  const previousSubnet = "10.5.50.1/24";
  t.is(plan(request({ previousSubnet }), [own])?.key, "10.5.40.0-24");
  t.is(plan(request({ previousSubnet }))?.key, "10.5.50.0-24");
  t.is(plan(request())?.key, "10.5.1.0-24");
  const unfit = [record(UDP_VALUE, "10.6.1.0-24"), record(UDP_VALUE, "10.5.0.0-24")];
  t.is(plan(request(), unfit)?.key, "10.5.1.0-24", "an own lease that does not fit the config is left");
});

test("a node id confirms a lease or refuses it, and never finds one", (t) => {
  const mine = record(encodeValue({ ...record(UDP_VALUE), nodeId: "one" }), "10.5.40.0-24");
  t.is(plan(request({ nodeId: "one" }), [mine])?.key, "10.5.40.0-24");
  t.is(plan(request(), [mine])?.key, "10.5.40.0-24");
  t.throws(() => plan(request({ nodeId: "two" }), [mine]), {
    instanceOf: WeftError,
    message: /"one".*"two".*--reclaim/,
  });
  t.is(plan(request({ nodeId: "two", reclaim: true }), [mine])?.key, "10.5.40.0-24");
  const moved = request({ publicIp: parseIp("10.99.0.9"), nodeId: "one" });
  t.is(plan(moved, [mine])?.key, "10.5.1.0-24");
  t.is(plan({ ...moved, previousSubnet: "10.5.40.1/24" }, [mine])?.key, "10.5.40.0-24");
});

test("the MAC of an existing lease is kept", (t) => {
  const existing = record(VXLAN_VALUE, "10.5.40.0-24");
  t.is(plan(request({ config: VXLAN }), [existing])?.value.toString(), VXLAN_VALUE);
  const fresh = plan(request({ config: VXLAN }))?.lease.subnets[0]?.via.mac;
  t.deepEqual(fresh, plan(request({ config: VXLAN }))?.lease.subnets[0]?.via.mac);
});

test("a host that cannot have a lease is told so", (t) => {
  t.throws(() => plan(request({ publicIp: null })), { instanceOf: ConfigError, message: /--public-ip/ });
  t.throws(() => plan(request({ config: DUAL })), { instanceOf: ConfigError, message: /--public-ipv6/ });
  const inside = request({ publicIp: parseIp("10.5.7.7") });
  t.throws(() => plan(inside), { instanceOf: ConfigError, message: /inside the overlay/ });
});
