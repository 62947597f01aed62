/** The peers file: what it says, the line of what is wrong in it, and how the registry over it follows its changes. */
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { pino } from "pino";
import { ConfigError } from "../../src/config/errors.js";
import type { LeaseRequest, Snapshot } from "../../src/lease/registry.js";
import { parseIp } from "../../src/net/ip.js";
import { deriveMac, formatMac } from "../../src/net/mac.js";
import { parsePeersFile } from "../../src/static/peers-file.js";
import { FileRegistry } from "../../src/static/registry.js";
import { temporaryDirectory, until } from "../support/process.js";

const HEAD = "network: 10.5.0.0/16\nnodes:\n";
const node = (name: string, last: number): string =>
  `  - { name: ${name}, address: 192.0.2.${last}, subnets: [10.5.${last}.0/24] }\n`;
const THREE = HEAD + node("alpha", 1) + node("beta", 2) + node("gamma", 3);

test("a file of two lines per node is enough", (t) => {
  const { config, self, nodes } = parsePeersFile(THREE, "peers.yaml");
  t.deepEqual(config.backend, { type: "udp", port: 8285, vni: null, mtu: null, gbp: false });
  t.is(config.ipv4?.network.text, "10.5.0.0/16");
  t.is(self, null);
  t.deepEqual(
    nodes.map(({ lease, address }) => `${lease.key} ${address.text} ${lease.subnets[0]?.prefix.text ?? ""}`),
    ["alpha 192.0.2.1 10.5.1.0/24", "beta 192.0.2.2 10.5.2.0/24", "gamma 192.0.2.3 10.5.3.0/24"],
  );
});

for (const underlay of ["192.0.2.", "2001:db8::"])
  test(`vxlan carries both families over ${underlay}…, with a MAC for every node`, (t) => {
    const { config, nodes } = parsePeersFile(
      `
network: 10.5.0.0/16
ipv6Network: fd05::/48
backend: { type: vxlan, vni: 7, port: 4789, mtu: 1400, gbp: true }
self: beta
nodes:
  - { name: alpha, address: "${underlay}1", subnets: [10.5.1.0/24, fd05:0:0:1::/64] }
  - { name: beta, address: "${underlay}2", subnets: [fd05:0:0:2::/64, 10.5.2.0/25], mac: "AA:bb:cc:dd:ee:0f" }
`,
      "peers.yaml",
    );
    t.deepEqual(config.backend, { type: "vxlan", port: 4789, vni: 7, mtu: 1400, gbp: true });
    const [alpha, beta] = nodes;
    t.deepEqual(alpha?.lease.subnets[1]?.via, {
      address: alpha?.address,
      mac: deriveMac(7, alpha?.address ?? fail()),
      ecn: true,
    });
    t.is(beta?.lease.subnets[1]?.via.address.text, `${underlay}2`);
    t.is(formatMac(beta?.lease.subnets[0]?.via.mac ?? fail()), "aa:bb:cc:dd:ee:0f");
  });

function fail(): never {
  throw new Error("missing");
}

const VXLAN_HEAD = `network: 10.5.0.0/16\nbackend: { type: vxlan }\nnodes:\n`;
for (const [what, text, line, says] of [
  ["broken YAML", "network: 10.5.0.0/16\nnodes: [\n", 3, /./],
  ["an empty file", "", 1, /./],
  ["a field with a typing error", `${HEAD}${node("alpha", 1)}ipv6network: fd05::/48\n`, 4, /ipv6network/],
  ["a name twice", HEAD + node("alpha", 1) + node("alpha", 2), 4, /name alpha is already that of node 1/],
  [
    "an address twice",
    HEAD + node("a", 1) + node("b", 1).replace("10.5.1", "10.5.9"),
    4,
    /address 192\.0\.2\.1/,
  ],
  ["no network at all", "nodes: []\n", 1, /network or ipv6Network is missing/],
  ["a network that is none", "nodes: []\nnetwork: 10.5.0.0/40\n", 2, /no IPv4 network/],
  ["a network that is too small", "nodes: []\nnetwork: 10.5.0.0/30\n", 2, /too small/],
  ["a foreign backend", "nodes: []\nnetwork: 10.5.0.0/16\nbackend: { type: ipip }\n", 3, /"ipip"/],
  ["a port as text", "network: 10.5.0.0/16\nnodes: []\nbackend:\n  port: many\n", 4, /backend\.port/],
  ["a node without subnets", `${HEAD}${node("a", 1)}  - name: b\n    address: 192.0.2.2\n`, 4, /subnets/],
  ["an address that is none", HEAD + node("a", 1).replace("192.0.2.1", "192.0.2.300"), 3, /192\.0\.2\.300/],
  [
    "an address in the overlay",
    HEAD + node("a", 1).replace("192.0.2.1", "10.5.9.9"),
    3,
    /inside the overlay/,
  ],
  [
    "host bits",
    `${HEAD}  - name: a\n    address: 192.0.2.1\n    subnets:\n      - 10.5.1.7/24\n`,
    6,
    /write 10\.5\.1\.0\/24/,
  ],
  ["a subnet outside", HEAD + node("a", 1).replace("10.5.1", "10.6.1"), 3, /10\.6\.1\.0\/24 is not inside/],
  ["a subnet for nobody", HEAD + node("a", 1).replace("/24", "/31"), 3, /\/30 at least/],
  [
    "two subnets of a family",
    HEAD + node("a", 1).replace("[", "[10.5.9.0/24, "),
    3,
    /one subnet per address family/,
  ],
  [
    "an overlap",
    HEAD + node("a", 1) + node("b", 2).replace("10.5.2.0/24", "10.5.0.0/20"),
    3,
    /overlaps 10\.5\.0\.0\/20 of b/,
  ],
  [
    "underlays of two families",
    VXLAN_HEAD + node("a", 1) + node("b", 2).replace("192.0.2.2", '"2001:db8::2"'),
    5,
    /of one family/,
  ],
  ["IPv6 under udp", HEAD + node("a", 1).replace("192.0.2.1", '"2001:db8::1"'), 3, /vxlan/],
  ["an IPv6 subnet under udp", HEAD + node("a", 1).replace("10.5.1.0/24", "fd05::/64"), 3, /vxlan/],
  ["an IPv6 network under udp", "ipv6Network: fd05::/48\nnodes: []\n", 1, /vxlan/],
  [
    "a subnet of a family without network",
    VXLAN_HEAD + node("a", 1).replace("10.5.1.0/24", "fd05::/64"),
    4,
    /no IPv6 network/,
  ],
  ["a MAC under udp", HEAD + node("a", 1).replace(" }", ', mac: "aa:bb:cc:dd:ee:ff" }'), 3, /no MAC/],
  ["a MAC of many", VXLAN_HEAD + node("a", 1).replace(" }", ', mac: "01:00:5e:00:00:01" }'), 4, /no MAC/],
  ["a self that is not there", `${THREE}self: delta\n`, 6, /no node "delta"/],
] as const) {
  test(`${what}: the error names the line`, (t) => {
    const error = t.throws(() => parsePeersFile(text, "peers.yaml"), { instanceOf: ConfigError });
    t.true(error.message.startsWith(`peers.yaml:${line}: `), error.message);
    t.regex(error.message, says);
  });
}

interface Running {
  readonly registry: FileRegistry;
  readonly path: string;
  readonly snapshots: Snapshot[];
}

function request(registry: FileRegistry, address: string): Promise<LeaseRequest> {
  return registry.networkConfig(forever).then((config) => ({
    publicIp: parseIp(address),
    publicIpv6: null,
    config,
    previousSubnet: null,
    previousSubnet6: null,
    nodeId: null,
    reclaim: false,
  }));
}
const forever = new AbortController().signal;

function open(t: ExecutionContext, path: string): FileRegistry {
  const registry = new FileRegistry({ kind: "file", path }, pino({ level: "silent" }));
  t.teardown(() => registry.close());
  return registry;
}

/** The registry as alpha's daemon runs it, over a file that is there. */
async function follow(t: ExecutionContext, path: string): Promise<Running> {
  const registry = open(t, path);
  await registry.acquire(await request(registry, "192.0.2.1"), forever);
  const snapshots: Snapshot[] = [];
  await registry.watch((snapshot) => snapshots.push(snapshot), forever);
  return { registry, path, snapshots };
}

async function start(t: ExecutionContext): Promise<Running> {
  const path = join(await temporaryDirectory((cleanup) => t.teardown(cleanup)), "peers.yaml");
  await writeFile(path, THREE);
  return follow(t, path);
}

async function sees({ snapshots }: Running, ...names: string[]): Promise<Snapshot> {
  return until(`peers ${names.join()}`, () => {
    const newest = snapshots.at(-1);
    return newest?.peers.map(({ key }) => key).join() === names.join() ? newest : null;
  });
}

async function says({ registry }: Running, pattern: RegExp): Promise<void> {
  await until(String(pattern), () => (pattern.test(registry.status().problem ?? "") ? true : null));
}

test("a node finds itself by its address or by self, and is none of its peers", async (t) => {
  const running = await start(t);
  t.deepEqual(
    running.snapshots[0]?.peers.map(({ key }) => key),
    ["beta", "gamma"],
  );
  await writeFile(running.path, `${THREE}self: gamma\n`);
  const other = open(t, running.path);
  t.is((await other.acquire(await request(other, "198.51.100.1"), forever)).key, "gamma");
});

test("a node that is not in the file is told what was looked for", async (t) => {
  const { path } = await start(t);
  const registry = open(t, path);
  const asked = await request(registry, "192.0.2.99");
  await t.throwsAsync(registry.acquire(asked, forever), {
    instanceOf: ConfigError,
    message: /192\.0\.2\.99;.*192\.0\.2\.1, 192\.0\.2\.2.*--public-ip.*self:/,
  });
});

test("a missing file is a wrong setting", async (t) => {
  await t.throwsAsync(open(t, "/nonexistent/peers.yaml").networkConfig(forever), {
    instanceOf: ConfigError,
    message: /\/nonexistent\/peers\.yaml/,
  });
});

test("peers follow the file, written in place or replaced", async (t) => {
  const running = await start(t);
  await writeFile(running.path, HEAD + node("alpha", 1) + node("beta", 2));
  await sees(running, "beta");
  await writeFile(`${running.path}.new`, THREE);
  await rename(`${running.path}.new`, running.path);
  await sees(running, "beta", "gamma");
  t.is(running.registry.status().revision, 3);
});

test("a file behind a link follows the link", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  await mkdir(join(directory, "one"));
  await writeFile(join(directory, "one", "peers.yaml"), THREE);
  await symlink("one", join(directory, "data"));
  await symlink("data/peers.yaml", join(directory, "peers.yaml"));
  const running = await follow(t, join(directory, "peers.yaml"));
  await mkdir(join(directory, "two"));
  await writeFile(join(directory, "two", "peers.yaml"), HEAD + node("alpha", 1));
  await symlink("two", join(directory, "data.new"));
  await rename(join(directory, "data.new"), join(directory, "data"));
  t.like(await sees(running), { peers: [], rejected: [], held: 0 });
});

test("an invalid or missing file changes nothing, is reported, and is forgotten when it is right again", async (t) => {
  const running = await start(t);
  await writeFile(running.path, `${THREE}nonsense: 1\n`);
  await says(running, /peers\.yaml:6: .*nonsense.*stays in force/);
  t.false(running.registry.status().connected);
  await rm(running.path);
  await says(running, /cannot be read/);
  t.is(running.snapshots.length, 1);
  await writeFile(running.path, THREE);
  await until("all is well", () => (running.registry.status().problem === null ? true : null));
  await sees(running, "beta", "gamma");
});

test("a new network waits for a restart; a new own entry too, while peers are followed", async (t) => {
  const running = await start(t);
  await writeFile(running.path, THREE.replace("10.5.0.0/16", "10.0.0.0/8"));
  await says(running, /network or backend changed.*restart/);
  t.is(running.snapshots.length, 1);
  await writeFile(
    running.path,
    HEAD + node("alpha", 9) + node("beta", 2) + node("thief", 1).replace("2.1", "2.7"),
  );
  await says(running, /this node's entry.*restart/);
  const { rejected } = await sees(running, "beta");
  t.deepEqual(
    rejected.map(({ key, reason }) => `${key} ${reason}`),
    ["thief overlap"],
  );
});
