import test from "ava";
import fc from "fast-check";
import { packPeers, packRoutes, packSelf } from "../../src/dataplane/rows.js";
import { type CompileInput, type Tables, compileTables } from "../../src/fib/compile.js";
import { type Compiled, recompileTables } from "../../src/fib/recompile.js";
import type { PeerAlias } from "../../src/config/options.js";
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
      return { prefix: prefix(subnet), via: { address: ip(address), mac: mac(Number(last)), ecn: true } };
    }),
  };
}

const own = lease("own", "10.5.1.0/24 via 192.0.2.1 1", "fd05:0:0:1::/64 via 2001:db8::1 11");

function inputOf(peers: readonly Lease[], input: Partial<CompileInput> = {}): CompileInput {
  return {
    vni: 1,
    mtu: 1430,
    port: 8472,
    admit: { external: false, bridged: false, lenient: false, gbp: false },
    source4: ip("192.0.2.1"),
    source6: null,
    own,
    peers,
    aliases: [],
    ...input,
  };
}

function compile(peers: readonly Lease[], input: Partial<CompileInput> = {}): Tables {
  return compileTables(inputOf(peers, input));
}

function alias(text: string): PeerAlias {
  const [address = "", publicAddress = ""] = text.split("=");
  return { address: ip(address), publicAddress: ip(publicAddress) };
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

test("an alias is a row beside that of its peer, with its node and MAC, and no route of its own", (t) => {
  const two = lease("two", "10.5.2.0/24 via 192.0.2.2 2", "fd05:0:0:2::/64 via 2001:db8::2 12");
  const three = lease("three", "10.5.3.0/24 via 192.0.2.3 3");
  const tables = compile([two, three], {
    aliases: [
      "198.51.100.3=192.0.2.3",
      "2001:db8::22=2001:db8::2",
      "198.51.100.2=192.0.2.2",
      "198.51.100.9=192.0.2.2",
    ].map(alias),
  });
  t.deepEqual(
    tables.peers.map(({ address, node, mac: bytes }) => [address.text, tables.nodes[node], bytes?.[5]]),
    [
      ["192.0.2.2", "two", 2],
      ["198.51.100.2", "two", 2],
      ["198.51.100.9", "two", 2],
      ["2001:db8::2", "two", 12],
      ["2001:db8::22", "two", 12],
      ["192.0.2.3", "three", 3],
      ["198.51.100.3", "three", 3],
    ],
  );
  t.deepEqual(routes(tables).slice(2), [
    "10.5.2.0/24 → 192.0.2.2",
    "fd05:0:0:2::/64 → 2001:db8::2",
    "10.5.3.0/24 → 192.0.2.3",
  ]);
  t.deepEqual(tables.unusedAliases, []);
});

test("an alias that would be ambiguous, or whose peer is not there, has no row and is reported", (t) => {
  const peers = [lease("two", "10.5.2.0/24 via 192.0.2.2 2"), lease("three", "10.5.3.0/24 via 192.0.2.3 3")];
  const aliases = [
    "192.0.2.3=192.0.2.2",
    "192.0.2.1=192.0.2.2",
    "203.0.113.1=192.0.2.2",
    "198.51.100.4=192.0.2.4",
    "198.51.100.1=192.0.2.1",
  ].map(alias);
  const tables = compile(peers, { source4: ip("203.0.113.1"), aliases });
  t.deepEqual(
    tables.peers.map(({ address }) => address.text),
    ["192.0.2.2", "192.0.2.3"],
  );
  t.deepEqual(tables.unusedAliases, [
    { alias: aliases[0], message: "192.0.2.3 is the public address of three" },
    { alias: aliases[1], message: "192.0.2.1 is this host's own address" },
    { alias: aliases[2], message: "203.0.113.1 is this host's own address" },
    { alias: aliases[3], message: "no peer has the public address 192.0.2.4" },
    { alias: aliases[4], message: "no peer has the public address 192.0.2.1" },
  ]);
});

/** Everything about tables that others can see. */
function view({ peers, ...rest }: Tables): object {
  return { ...rest, peers: peers.map(({ address, mac, ecn, node }) => ({ address, mac, ecn, node })) };
}

test("however leases change, tables made of those before are the tables that are compiled anew", (t) => {
  // Few addresses, so that nodes meet, and more than hosts, so that some move to free ones.
  const address = fc.nat({ max: 12 });
  const made = fc.record({
    name: fc.constantFrom("a", "a", "b"),
    kind: fc.constantFrom("4", "6", "46", ""),
    four: address,
    six: address,
    mac: address,
  });
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("put" as const), n: fc.nat({ max: 5 }), made }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("delete" as const), n: fc.nat({ max: 5 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant("settings" as const), mtu: fc.constantFrom(1430, 1400) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("alias" as const), use: fc.boolean() }) },
  );
  let patched = 0;
  const changes = fc.property(fc.array(fc.array(step, { maxLength: 3 }), { maxLength: 12 }), (snapshots) => {
    const leases = new Map<number, Lease>();
    let settings: Partial<CompileInput> = {};
    let before: Compiled | null = null;
    for (const steps of snapshots) {
      for (const each of steps) {
        if (each.do === "delete") leases.delete(each.n);
        else if (each.do === "settings") settings = { ...settings, mtu: each.mtu };
        else if (each.do === "alias") {
          settings = { ...settings, aliases: each.use ? [alias("198.51.100.3=192.0.2.3")] : [] };
        } else {
          const { name, kind, four, six, mac: last } = each.made;
          const subnets = [
            ...(kind.includes("4") ? [`10.5.${each.n}.0/24 via 192.0.2.${four} ${last}`] : []),
            ...(kind.includes("6") ? [`fd05:0:0:${each.n}::/64 via 2001:db8::${six} ${last}`] : []),
          ];
          leases.set(each.n, lease(`${name}${each.n}`, ...subnets));
        }
      }
      const input = inputOf([...leases.values()], settings);
      const now: Compiled = recompileTables(before, input);
      t.deepEqual(view(now.tables), view(compileTables(input)));
      if (before !== null) {
        const { peers, routes: rows } = before.tables;
        const bytes = [packPeers(peers), packRoutes(rows)] as const;
        t.deepEqual(
          packPeers(now.tables.peers, { rows: peers, bytes: bytes[0] }),
          packPeers(now.tables.peers),
        );
        t.deepEqual(packRoutes(now.tables.routes, { rows, bytes: bytes[1] }), packRoutes(now.tables.routes));
        if (rows.length > 2 && now.tables.routes[2] === rows[2] && steps.length > 0) patched++;
      }
      before = now;
    }
  });
  fc.assert(changes, { numRuns: 500 });
  t.true(patched > 100, `only ${patched} tables were made of those before`);
});

test("rows are packed as native/core/tables.h declares them", (t) => {
  const {
    self,
    peers,
    routes: rows,
  } = compile([lease("two", "10.5.2.0/24 via 192.0.2.2 2", "fd05:0:0:2::/64 via 2001:db8::2 12")], {
    admit: { external: false, bridged: true, lenient: false, gbp: true },
  });
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const host32 = (value: number): string => hex(new Uint8Array(Uint32Array.of(value).buffer));
  const host16 = (value: number): string => hex(new Uint8Array(Uint16Array.of(value).buffer));
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
      "02000000000b" +
      host16(8472) +
      host16(2 + 8), // port, bridged and GBP
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

test("every admission has its bit, and a peer that ignores the outer header its flag", (t) => {
  const strict = { external: false, bridged: false, lenient: false, gbp: false };
  const bits = (admit: Partial<typeof strict>): number | undefined =>
    new Uint16Array(packSelf(compile([], { admit: { ...strict, ...admit } }).self).slice(82).buffer)[0];
  t.is(bits({}), 0);
  t.is(bits({ external: true }), 1);
  t.is(bits({ bridged: true }), 2);
  t.is(bits({ lenient: true }), 4);
  t.is(bits({ gbp: true }), 8);
  t.is(bits({ external: true, bridged: true, lenient: true, gbp: true }), 15);

  const via = { address: ip("192.0.2.2"), mac: null };
  const flags = (ecn: boolean): Uint8Array => packPeers([{ ...via, ecn, node: 0 }]).slice(20);
  t.deepEqual(flags(true), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0));
  t.deepEqual(flags(false), Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 0));
});

test("the MTU leaves room for the largest outer headers", (t) => {
  t.is(tunnelMtu("udp", 1500, [4]), 1472);
  t.is(tunnelMtu("vxlan", 1500, [4]), 1450);
  t.is(tunnelMtu("vxlan", 1500, [6]), 1430);
  t.is(tunnelMtu("vxlan", 9000, [4, 6]), 8930);
});
