import test from "ava";
import { packPeers, packRoutes, packSelf } from "../../src/dataplane/rows.js";
import { type CompileInput, type Tables, compileTables } from "../../src/fib/compile.js";
import type { Lease } from "../../src/lease/lease.js";
import { tunnelMtu } from "../../src/net/mtu.js";
import { ip, prefix } from "../support/addresses.js";

const mac = (last: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, 0, last);

/** A vxlan lease; each subnet is written `prefix via address mac`. */
function lease(key: string, ...subnets: readonly string[]): Lease {
  return {
    key,
    backend: "vxlan",
    vni: 1,
    subnets: subnets.map((text) => {
      const [subnet = "", , address = "", last = "0"] = text.split(" ");
      return { prefix: prefix(subnet), via: { address: ip(address), mac: mac(Number(last)) } };
    }),
  };
}

const own = lease("own", "10.5.1.0/24 via 192.0.2.1 1", "fd05:0:0:1::/64 via 2001:db8::1 11");

function compile(peers: readonly Lease[], input: Partial<CompileInput> = {}): Tables {
  return compileTables({
    vni: 1,
    mtu: 1430,
    source4: ip("192.0.2.1"),
    source6: null,
    own,
    peers,
    ...input,
  });
}

/** Routes as text: `prefix → address of the peer`. */
function routes({ routes: rows, peers }: Tables): string[] {
  return rows.map(
    ({ prefix: { text }, peer }) =>
      `${text} → ${peer === null ? "local" : (peers[peer]?.address.text ?? "?")}`,
  );
}

test("a node alone has its own subnets as local routes", (t) => {
  const tables = compile([]);
  t.deepEqual(routes(tables), ["10.5.1.0/24 → local", "fd05:0:0:1::/64 → local"]);
  t.deepEqual(tables.peers, []);
  t.is(tables.self.address4?.text, "10.5.1.0");
  t.is(tables.self.gateway4?.text, "10.5.1.1");
  t.is(tables.self.address6?.text, "fd05:0:0:1::");
  t.is(tables.self.gateway6?.text, "fd05:0:0:1::1");
  t.deepEqual([tables.self.mac4, tables.self.mac6], [mac(1), mac(11)]);
});

test("a node with one family uses its one MAC for both", (t) => {
  const { self } = compile([], { own: lease("own", "10.5.1.0/24 via 192.0.2.1 1") });
  t.deepEqual([self.mac4, self.mac6], [mac(1), mac(1)]);
  t.is(self.address6, null);
});

test("the endpoints of a dual-stack node stand next to each other under one number", (t) => {
  const tables = compile([
    lease("two", "10.5.2.0/24 via 192.0.2.2 2", "fd05:0:0:2::/64 via 2001:db8::2 12"),
    lease("three", "10.5.3.0/24 via 192.0.2.3 3"),
  ]);
  t.deepEqual(
    tables.peers.map(({ address, node }) => [address.text, tables.nodes[node]]),
    [
      ["192.0.2.2", "two"],
      ["2001:db8::2", "two"],
      ["192.0.2.3", "three"],
    ],
  );
  t.deepEqual(routes(tables).slice(2), [
    "10.5.2.0/24 → 192.0.2.2",
    "fd05:0:0:2::/64 → 2001:db8::2",
    "10.5.3.0/24 → 192.0.2.3",
  ]);
});

test("two leases through one address are one peer with the younger one's MAC", (t) => {
  const tables = compile([
    lease("old", "10.5.2.0/24 via 192.0.2.2 2"),
    lease("other", "10.5.4.0/24 via 192.0.2.4 4"),
    lease("new", "10.5.3.0/24 via 192.0.2.2 3"),
  ]);
  t.deepEqual(
    tables.peers.map((row) => [row.address.text, row.mac?.[5], tables.nodes[row.node]]),
    [
      ["192.0.2.2", 3, "new"],
      ["192.0.2.4", 4, "other"],
    ],
  );
  t.deepEqual(routes(tables).slice(2), [
    "10.5.2.0/24 → 192.0.2.2",
    "10.5.4.0/24 → 192.0.2.4",
    "10.5.3.0/24 → 192.0.2.2",
  ]);
});

test("a lease through this host's own address is not routed", (t) => {
  const tables = compile([lease("stale", "10.5.9.0/24 via 192.0.2.1 9")]);
  t.deepEqual(tables.peers, []);
  t.deepEqual(routes(tables), ["10.5.1.0/24 → local", "fd05:0:0:1::/64 → local"]);
});

test("rows are packed as native/core/tables.h declares them", (t) => {
  const {
    self,
    peers,
    routes: rows,
  } = compile([lease("two", "10.5.2.0/24 via 192.0.2.2 2", "fd05:0:0:2::/64 via 2001:db8::2 12")]);
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const host32 = (value: number): string => hex(new Uint8Array(Uint32Array.of(value).buffer));
  const zeros = (bytes: number): string => "00".repeat(bytes);
  t.is(
    hex(packSelf(self)),
    host32(1) +
      host32(1430) +
      "c0000201" +
      zeros(16) + // VNI, MTU, underlay sources
      "0a050100" +
      "fd050000000000010000000000000000" + // own addresses
      "0a050101" +
      "fd050000000000010000000000000001" + // gateways
      "020000000001" +
      "02000000000b",
  );
  t.is(
    hex(packPeers(peers)),
    zeros(10) +
      "ffff" +
      "c0000202" +
      host32(0) +
      "020000000002" +
      zeros(2) +
      "20010db8000000000000000000000002" +
      host32(0) +
      "02000000000c" +
      zeros(2),
  );
  t.is(hex(packRoutes(rows).subarray(0, 24)), "0a050100" + zeros(12) + "ffffffff" + "0418" + zeros(2));
  t.is(
    hex(packRoutes(rows).subarray(72, 96)),
    "fd050000000000020000000000000000" + host32(1) + "0640" + zeros(2),
  );
});

test("the MTU leaves room for the largest outer headers", (t) => {
  t.is(tunnelMtu("udp", 1500, [4]), 1472);
  t.is(tunnelMtu("vxlan", 1500, [4]), 1450);
  t.is(tunnelMtu("vxlan", 1500, [6]), 1430);
  t.is(tunnelMtu("vxlan", 9000, [4, 6]), 8930);
});
