/**
 * The registry against a real etcd, as several nodes of one network see it. What weft writes is read with etcdctl;
 * what others write, flannel among them, is written with etcdctl.
 */
import test from "ava";
import { WeftError } from "../../src/config/errors.js";
import { parseIp } from "../../src/net/ip.js";
import { startEtcd } from "../support/etcd.js";
import {
  etcdLease,
  forever,
  joinNetwork,
  leaseKey,
  type Node,
  openRegistry,
  options,
  PREFIX,
  request,
  sees,
  UDP,
  withConfig,
} from "../support/etcd-nodes.js";
import { recordFinding } from "../support/findings.js";
import { until } from "../support/process.js";

test("the config may come after the node, and a wrong one is refused", async (t) => {
  const etcd = await startEtcd(t.teardown);
  const early = openRegistry(t, options(etcd));
  const config = early.networkConfig(forever);
  await until("the wait is reported", () =>
    early.status().problem?.includes("config") === true ? true : null,
  );
  await etcd.put(`${PREFIX}/config`, UDP);
  t.is((await config).ipv4?.network.text, "10.5.0.0/16");
  t.is(early.status().problem, null);

  await etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/30"}');
  await until("the change is reported", () => (/invalid/.test(early.status().problem ?? "") ? true : null));
  const late = openRegistry(t, options(etcd));
  await t.throwsAsync(late.networkConfig(forever), {
    name: "ConfigError",
    message: /Network 10\.5\.0\.0\/30/,
  });
});

test("a lease is written as flannel writes it, on an etcd lease of a day", async (t) => {
  const etcd = await withConfig(t);
  const node = await joinNetwork(t, options(etcd), "10.99.0.1");
  t.regex(node.lease.key, /^10\.5\.\d+\.0-24$/);
  t.is(await etcd.get(leaseKey(node)), '{"PublicIP":"10.99.0.1","PublicIPv6":null}');
  const ttl = await etcd.ctl("lease", "timetolive", await etcdLease(etcd, leaseKey(node)));
  t.regex(ttl, /granted with TTL\(86400s\)/);
  t.like(node.snapshots.at(-1), { peers: [], rejected: [], held: 0 });
  t.true((node.registry.status().leaseTtlSeconds ?? 0) > 86_000);
});

test("C27: nodes see each other come and change, and foreign or malformed keys harm nobody", async (t) => {
  const etcd = await withConfig(t, '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}');
  const [a, b] = [
    await joinNetwork(t, options(etcd), "10.99.0.1"),
    await joinNetwork(t, options(etcd), "10.99.0.2"),
  ];
  await sees(a, b.lease.key);
  await sees(b, a.lease.key);
  const mac = (byte: string): string =>
    `{"PublicIP":"10.99.0.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:${byte}"}}`;
  const put = (key: string, value: string): Promise<void> => etcd.put(`${PREFIX}/subnets/${key}`, value);
  await put("nonsense", "{}");
  await put("10.5.250.0-24", '{"PublicIP":"10.99.0.9","PublicIPv6":null}');
  await put("10.5.251.0-24", "{");
  await put("10.6.0.0-24", mac("01"));
  await put("10.5.252.0-24", mac("01"));
  const seen = await sees(a, b.lease.key, "10.5.252.0-24");
  t.deepEqual(
    seen.rejected.map(({ key, reason }) => `${key} ${reason}`),
    ["nonsense malformed", "10.5.250.0-24 backend", "10.5.251.0-24 malformed", "10.6.0.0-24 outside-network"],
  );
  recordFinding({
    row: "C27",
    fault: "leases of another backend and another network beside good ones",
    test: t.title,
    bound: "skipped and counted",
    measured: `${seen.rejected.length} skipped by their reasons, ${seen.peers.length} good ones in use`,
  });
  await put("10.5.252.0-24", mac("02"));
  await until("the new MAC", () =>
    b.snapshots.at(-1)?.peers.some(({ subnets }) => subnets[0]?.via.mac?.at(5) === 2) === true ? true : null,
  );
  await etcd.del(`${PREFIX}/subnets/10.5.252.0-24`);
  await sees(b, a.lease.key);
});

test("a restart keeps the subnet, its MAC and its etcd lease", async (t) => {
  const etcd = await withConfig(t, '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}');
  const flannels =
    '{"PublicIP":"10.99.0.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"b6:c4:b1:af:9e:94"}}';
  const key = `${PREFIX}/subnets/10.5.77.0-24`;
  const [, id = ""] = /lease ([0-9a-f]+)/.exec(await etcd.ctl("lease", "grant", "3600")) ?? [];
  await etcd.ctl("put", key, flannels, `--lease=${id}`);

  const first = await joinNetwork(t, options(etcd), "10.99.0.1", { previousSubnet: "10.5.78.1/24" });
  t.is(leaseKey(first), key);
  t.is(await etcd.get(key), flannels, "nothing to change: not written");
  await first.registry.close();
  const second = await joinNetwork(t, options(etcd), "10.99.0.1", { nodeId: "node-1" });
  t.is(leaseKey(second), key);
  t.regex((await etcd.get(key)) ?? "", /"VtepMAC":"b6:c4:b1:af:9e:94","weft":\{"id":"node-1"\}/);
  t.is(await etcdLease(etcd, key), id);
});

test("the previous subnet is taken when it is free, another when it is not", async (t) => {
  const etcd = await withConfig(t);
  const previousSubnet = "10.5.44.1/24";
  const first = await joinNetwork(t, options(etcd), "10.99.0.1", { previousSubnet });
  t.is(first.lease.key, "10.5.44.0-24");
  const second = await joinNetwork(t, options(etcd), "10.99.0.2", { previousSubnet });
  t.not(second.lease.key, "10.5.44.0-24");
});

test("another node's id refuses the lease, the own one confirms it under a new address", async (t) => {
  const etcd = await withConfig(t);
  const node = await joinNetwork(t, options(etcd), "10.99.0.1", { nodeId: "one" });
  await node.registry.close();
  const other = openRegistry(t, options(etcd));
  const asOther = await request(other, "10.99.0.1", { nodeId: "two" });
  const refusal = await t.throwsAsync(other.acquire(asOther, forever), { instanceOf: WeftError });
  t.regex(refusal.message, /node "one".*--node-id=one/s);
  t.is(await etcd.ctl("lease", "list"), `found 1 leases\n${await etcdLease(etcd, leaseKey(node))}`);

  const previousSubnet = node.lease.key.replace("-", "/");
  const moved = await joinNetwork(t, options(etcd), "10.99.0.7", { nodeId: "one", previousSubnet });
  t.is(moved.lease.key, node.lease.key);
  t.regex((await etcd.get(leaseKey(node))) ?? "", /^\{"PublicIP":"10\.99\.0\.7"/);
});

test("a race for few subnets gives each node its own, and who comes too late waits for one", async (t) => {
  const etcd = await withConfig(t, '{"Network":"10.5.0.0/20","SubnetLen":24,"SubnetMax":"10.5.6.0"}');
  const addresses = ["10.99.0.1", "10.99.0.2", "10.99.0.3", "10.99.0.4", "10.99.0.5", "10.99.0.6"];
  const nodes = await Promise.all(addresses.map((address) => joinNetwork(t, options(etcd), address)));
  t.is(new Set(nodes.map(({ lease }) => lease.key)).size, 6);
  t.regex(await etcd.ctl("lease", "list"), /^found 6 leases/, "no lease of a lost try is left");

  const late = openRegistry(t, options(etcd));
  const waiting = late.acquire(await request(late, "10.99.0.7"), forever);
  await until("the full pool is reported", () => (/is free/.test(late.status().problem ?? "") ? true : null));
  const [leaver] = nodes as [Node];
  await leaver.registry.close();
  await etcd.del(leaseKey(leaver));
  t.is((await waiting).key, leaver.lease.key);
  t.is(late.status().problem, null);
});

test("an own key that is deleted or loses its etcd lease comes back for the same subnet", async (t) => {
  const etcd = await withConfig(t);
  const node = await joinNetwork(t, options(etcd), "10.99.0.1");
  const observer = await joinNetwork(t, options(etcd), "10.99.0.2");
  const value = await etcd.get(leaseKey(node));
  await etcd.del(leaseKey(node));
  await until("the key is back", async () => ((await etcd.get(leaseKey(node))) === value ? true : null));
  const before = await etcdLease(etcd, leaseKey(node));
  await etcd.ctl("lease", "revoke", before);
  await until("the key is back", async () => ((await etcd.get(leaseKey(node))) === value ? true : null));
  t.not(await etcdLease(etcd, leaseKey(node)), before);
  await sees(observer, node.lease.key);
  t.is(node.registry.status().problem, null);
});

test("an own key that another node took is left to it, and taken back when it is free", async (t) => {
  const etcd = await withConfig(t);
  const node = await joinNetwork(t, options(etcd), "10.99.0.1");
  const thiefs = '{"PublicIP":"10.99.0.66","PublicIPv6":null}';
  await etcd.put(leaseKey(node), thiefs);
  await until("the loss is reported", () =>
    /another node/.test(node.registry.status().problem ?? "") ? true : null,
  );
  t.is(await etcd.get(leaseKey(node)), thiefs);
  await etcd.del(leaseKey(node));
  await until("all is well", () => (node.registry.status().problem === null ? true : null));
  t.is(await etcd.get(leaseKey(node)), '{"PublicIP":"10.99.0.1","PublicIPv6":null}');
});

test("a reservation stays a reservation", async (t) => {
  const etcd = await withConfig(t);
  const key = `${PREFIX}/subnets/10.5.9.0-24`;
  await etcd.put(key, '{"PublicIP":"10.99.0.1"}');
  const node = await joinNetwork(t, options(etcd), "10.99.0.1", { nodeId: "one" });
  t.is(leaseKey(node), key);
  t.is(await etcdLease(etcd, key), "0".repeat(16));
  t.is(await etcd.ctl("lease", "list"), "found 0 leases");
  t.is(node.registry.status().leaseTtlSeconds, null);
  await etcd.del(key);
  await until("the key is back", () => etcd.get(key));
  t.not(await etcdLease(etcd, key), "0".repeat(16), "what weft creates itself has an end");
});

test("a dual-stack node takes one subnet of each family under one key", async (t) => {
  const etcd = await withConfig(
    t,
    '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd05::/48","Backend":{"Type":"vxlan"}}',
  );
  const dual = {
    publicIpv6: parseIp("fd99::1"),
    previousSubnet: "10.5.69.1/24",
    previousSubnet6: "fd05:0:0:4e::1/64",
  };
  const node = await joinNetwork(t, options(etcd), "10.99.0.1", dual);
  t.is(node.lease.key, "10.5.69.0-24&fd05:0:0:4e::-64");
  t.deepEqual(
    node.lease.subnets.map(({ prefix, via }) => `${prefix.text} ${via.address.text}`),
    ["10.5.69.0/24 10.99.0.1", "fd05:0:0:4e::/64 fd99::1"],
  );
  const peer = await joinNetwork(t, options(etcd), "10.99.0.2", { publicIpv6: parseIp("fd99::2") });
  const seen = await sees(peer, node.lease.key);
  t.deepEqual(seen.peers[0]?.subnets, node.lease.subnets);
});
