/** Nodes of one network over etcd, without a dataplane: what the daemon does with its registry, and what it then sees. */
import type { ExecutionContext } from "ava";
import { pino } from "pino";
import type { EtcdOptions } from "../../src/config/options.js";
import { EtcdRegistry } from "../../src/etcd/registry.js";
import type { Lease } from "../../src/lease/lease.js";
import type { LeaseRequest, Snapshot } from "../../src/lease/registry.js";
import { parseIp } from "../../src/net/ip.js";
import { type Etcd, startEtcd } from "./etcd.js";
import { until } from "./process.js";

export const PREFIX = "/coreos.com/network";
export const UDP = '{"Network":"10.5.0.0/16"}';
/** A signal that never fires. */
export const forever = new AbortController().signal;

export function options(
  etcd: { readonly endpoint: string },
  changes: Partial<EtcdOptions> = {},
): EtcdOptions {
  return {
    kind: "etcd",
    endpoints: [etcd.endpoint],
    prefix: PREFIX,
    keyFile: null,
    certFile: null,
    caFile: null,
    username: null,
    password: null,
    withdrawalHoldMs: 300_000,
    ...changes,
  };
}

/** A registry of a node of its own, closed with the test; without a path it remembers nothing. */
export function openRegistry(
  t: ExecutionContext,
  etcdOptions: EtcdOptions,
  memoryPath: string | null = null,
): EtcdRegistry {
  const registry = new EtcdRegistry(etcdOptions, 60, pino({ level: "silent" }), memoryPath);
  t.teardown(() => registry.close());
  return registry;
}

export async function request(
  registry: EtcdRegistry,
  address: string,
  changes: Partial<LeaseRequest> = {},
): Promise<LeaseRequest> {
  return {
    publicIp: parseIp(address),
    publicIpv6: null,
    config: await registry.networkConfig(forever),
    previousSubnet: null,
    previousSubnet6: null,
    nodeId: null,
    reclaim: false,
    ...changes,
  };
}

export interface Node {
  readonly registry: EtcdRegistry;
  readonly lease: Lease;
  /** Every snapshot that came, the last one last. */
  readonly snapshots: Snapshot[];
}

/** What a daemon does at its start. */
export async function joinNetwork(
  t: ExecutionContext,
  etcdOptions: EtcdOptions,
  address: string,
  changes: Partial<LeaseRequest> = {},
  memoryPath: string | null = null,
): Promise<Node> {
  const registry = openRegistry(t, etcdOptions, memoryPath);
  const lease = await registry.acquire(await request(registry, address, changes), forever);
  const snapshots: Snapshot[] = [];
  await registry.watch((snapshot) => snapshots.push(snapshot), forever);
  return { registry, lease, snapshots };
}

/** Waits until the node's newest picture has exactly these peers. */
export async function sees(node: Node, ...keys: string[]): Promise<Snapshot> {
  return until(`peers ${keys.join(", ")}`, () => {
    const newest = node.snapshots.at(-1);
    const seen = newest?.peers.map(({ key }) => key).sort();
    return newest !== undefined && seen?.join() === [...keys].sort().join() ? newest : null;
  });
}

export async function withConfig(t: ExecutionContext, config = UDP): Promise<Etcd> {
  const etcd = await startEtcd(t.teardown);
  await etcd.put(`${PREFIX}/config`, config);
  return etcd;
}

export function leaseKey(node: Node): string {
  return `${PREFIX}/subnets/${node.lease.key}`;
}

/** The etcd lease that a key hangs on, as etcdctl writes it: 16 hexadecimal digits, all 0 for none. */
export async function etcdLease(etcd: Etcd, key: string): Promise<string> {
  const answer = await etcd.ctl("get", "-w", "fields", key);
  const id = /"Lease" : (\d+)/.exec(answer)?.[1];
  return BigInt(id ?? "-1")
    .toString(16)
    .padStart(16, "0");
}
