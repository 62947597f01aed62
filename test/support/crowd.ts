/** Many nodes of one network that start at once: the control part of each, in one process, against a real etcd. */
import { pino } from "pino";
import { EtcdRegistry } from "../../src/etcd/registry.js";
import type { Lease } from "../../src/lease/lease.js";
import type { Etcd } from "./etcd.js";
import { forever, options, request } from "./etcd-nodes.js";
import type { OnCleanup } from "./process.js";

export interface Crowd {
  readonly leases: readonly Lease[];
  /** From the first start to the last lease. */
  readonly seconds: number;
  /** What all of them asked of etcd, by gRPC method. */
  readonly requests: Readonly<Record<string, number>>;
  /** How often a node lost a race for a subnet. */
  readonly conflicts: number;
}

/** Starts `count` nodes and resolves when each has its subnet. Rejects when one fails. */
export async function startTogether(onCleanup: OnCleanup, etcd: Etcd, count: number): Promise<Crowd> {
  const before = await etcd.requests();
  const start = performance.now();
  const leases = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const registry = new EtcdRegistry(options(etcd), 60, pino({ level: "silent" }));
      onCleanup(() => registry.close());
      const asked = await request(registry, `10.99.${1 + (index >> 8)}.${index & 255}`);
      return registry.acquire(asked, forever);
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  const requests = requestsSince(before, await etcd.requests());
  return { leases, seconds, requests, conflicts: (requests["Txn"] ?? 0) - count };
}

/** The methods that were used, with how often. */
export function requestsSince(
  before: ReadonlyMap<string, number>,
  now: ReadonlyMap<string, number>,
): Record<string, number> {
  const methods = ["Range", "Txn", "Put", "Watch", "LeaseGrant", "LeaseRevoke", "LeaseKeepAlive"];
  return Object.fromEntries(
    methods.map((method) => [method, (now.get(method) ?? 0) - (before.get(method) ?? 0)]),
  );
}
