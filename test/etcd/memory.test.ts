/** C1, C25: a start without etcd, on what the last run remembered; and a network config that changes while it runs. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import {
  forever,
  joinNetwork,
  leaseKey,
  openRegistry,
  options,
  PREFIX,
  request,
  sees,
  UDP,
  withConfig,
} from "../support/etcd-nodes.js";
import { recordFinding } from "../support/findings.js";
import { temporaryDirectory, until } from "../support/process.js";

const lease = (address: string): string => JSON.stringify({ PublicIP: address, PublicIPv6: null });
const subnet = (key: string): string => `${PREFIX}/subnets/${key}`;

/** A node that ran, saw two peers and was stopped; then its etcd was, too. */
async function ranBefore(t: ExecutionContext) {
  const etcd = await withConfig(t);
  const path = join(await temporaryDirectory(t.teardown), "memory");
  const node = await joinNetwork(t, options(etcd), "10.99.0.1", { nodeId: "one" }, path);
  for (const n of [201, 202]) await etcd.put(subnet(`10.5.${n}.0-24`), lease(`10.99.0.${n}`));
  await sees(node, "10.5.201.0-24", "10.5.202.0-24");
  await node.registry.close();
  await etcd.stop();
  return { etcd, path, key: node.lease.key };
}

test("C1: without etcd a node starts with what it remembers, and puts its lease back when etcd returns", async (t) => {
  const { etcd, path, key } = await ranBefore(t);
  const node = await joinNetwork(t, options(etcd), "10.99.0.1", { nodeId: "one" }, path);
  t.is(node.lease.key, key);
  await sees(node, "10.5.201.0-24", "10.5.202.0-24");
  t.regex(node.registry.status().problem ?? "", /^stale: .*ECONNREFUSED/);
  await etcd.start();
  await until("etcd is followed", () => (node.registry.status().problem === null ? true : null));
  await etcd.del(leaseKey(node));
  await until("the own lease is put back", () => etcd.get(leaseKey(node)));
  await etcd.put(subnet("10.5.203.0-24"), lease("10.99.0.203"));
  await sees(node, "10.5.201.0-24", "10.5.202.0-24", "10.5.203.0-24");
  t.true((node.registry.status().leaseTtlSeconds ?? 0) > 86_000);
});

test("C1: a memory of another prefix, cluster or host is not used, nor a damaged one", async (t) => {
  const { etcd, path } = await ranBefore(t);
  const content = await readFile(path);
  await writeFile(`${path}.cut`, content.subarray(0, -1));
  const strangers = [
    openRegistry(t, options(etcd, { prefix: "/other" }), path),
    openRegistry(t, options(etcd, { endpoints: ["http://127.0.0.1:1"] }), path),
    openRegistry(t, options(etcd), `${path}.cut`),
  ];
  const configs = strangers.map((registry) => registry.networkConfig(forever));
  const own = openRegistry(t, options(etcd), path);
  const requests = [
    await request(own, "10.99.0.9", { nodeId: "one" }),
    await request(own, "10.99.0.1", { nodeId: "two" }),
  ];
  const waits = [...configs, ...requests.map((asked) => own.acquire(asked, forever))];
  const answers = waits.map((wait) => wait.then(() => "remembered").catch(() => "waited until closed"));
  await until("etcd was tried", () =>
    strangers.every((each) => each.status().problem !== null) ? true : null,
  );
  for (const registry of [...strangers, own]) await registry.close();
  t.deepEqual(await Promise.all(answers), Array(5).fill("waited until closed"));
});

test("C25: a network config that is gone or invalid at the start is the remembered one", async (t) => {
  const { etcd, path, key } = await ranBefore(t);
  await etcd.start();
  await etcd.put(`${PREFIX}/config`, "{");
  const node = await joinNetwork(t, options(etcd), "10.99.0.1", { nodeId: "one" }, path);
  t.is(node.lease.key, key);
  t.regex(node.registry.status().problem ?? "", /^the network config in etcd is invalid now/);
  await etcd.put(`${PREFIX}/config`, UDP);
  await until("all is well", () => (node.registry.status().problem === null ? true : null));
});

test("C25: safe changes of the config take effect, others are reported, invalid ones change nothing", async (t) => {
  const vxlan = (fields: object, backend: object): string =>
    JSON.stringify({ Network: "10.5.0.0/16", ...fields, Backend: { Type: "vxlan", ...backend } });
  const etcd = await withConfig(t, vxlan({}, {}));
  const node = await joinNetwork(t, options(etcd), "10.99.0.1");
  const inForce = () => node.snapshots.at(-1)?.config;
  await etcd.put(`${PREFIX}/config`, vxlan({ SubnetMin: "10.5.9.0" }, { GBP: true, VNI: 7 }));
  await until("the safe part is in force", () => (inForce()?.backend.gbp === true ? true : null));
  t.is(inForce()?.ipv4?.min.text, "10.5.9.0");
  t.is(inForce()?.backend.vni, 1);
  t.regex(node.registry.status().problem ?? "", /restart weftd to apply it: Backend\.VNI$/);
  await etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/30"}');
  await until("it is reported", () => (/invalid/.test(node.registry.status().problem ?? "") ? true : null));
  await etcd.del(`${PREFIX}/config`);
  await until("it is reported", () => (/is gone/.test(node.registry.status().problem ?? "") ? true : null));
  t.true(inForce()?.backend.gbp);
  recordFinding({
    row: "C25",
    fault: "the network config changes, turns invalid and goes, at run time",
    test: t.title,
    bound: "safe fields apply, others wait for a restart, the old one stays in force",
    measured: "so it is, each reported",
  });
  await etcd.put(`${PREFIX}/config`, vxlan({}, {}));
  await until("all is as before", () => (inForce()?.backend.gbp === false ? true : null));
  t.is(node.registry.status().problem, null);
});
