/**
 * The leases in etcd as this node reads them: a live copy of `<prefix>/subnets/`, and before its first list what was
 * remembered of the last run. Every entry is read once, however often it is looked at.
 */
import type { Logger } from "pino";
import type { NetworkConfig } from "../config/network-config.js";
import { decodeRecord, type LeaseRecord } from "../lease/codec.js";
import type { Lease, Rejection } from "../lease/lease.js";
import type { RememberedLease } from "../lease/memory.js";
import { isRejection, readLease } from "../lease/policy.js";
import type { EtcdClient } from "./client.js";
import { prefixRange } from "./messages.js";
import type { Entry } from "./entries.js";
import { RangeWatch } from "./range-watch.js";

export class Leases {
  readonly watch: RangeWatch;
  readonly #prefix: string;
  #remembered: readonly Entry[] = [];
  readonly #results = new WeakMap<Entry, Lease | Rejection>();
  readonly #entries = new WeakMap<Lease, Entry>();

  /** @param prefix the network's, without `/subnets/` */
  constructor(client: EtcdClient, prefix: string, log: Logger) {
    this.#prefix = `${prefix}/subnets/`;
    this.watch = new RangeWatch(client, prefixRange(this.#prefix), log);
  }

  /**
   * Takes what stands in for etcd's leases until they are listed, oldest first. Their create revisions are below zero:
   * none of etcd's is.
   */
  remember(leases: readonly RememberedLease[]): void {
    this.#remembered = leases.map(({ key, value }, index) => {
      return {
        key: this.keyOf(key),
        value,
        createRevision: index - leases.length,
        modRevision: 0,
        lease: "0",
      };
    });
  }

  get remembered(): readonly Entry[] {
    return this.#remembered;
  }

  oldestFirst(): readonly Entry[] {
    if (!this.watch.listed) return this.#remembered;
    return [...this.watch.entries.values()].sort((a, b) => a.createRevision - b.createRevision);
  }

  read(entry: Entry, config: NetworkConfig): Lease | Rejection {
    let result = this.#results.get(entry);
    if (result === undefined) {
      result = readLease(this.nameOf(entry), entry.value, config);
      this.#results.set(entry, result);
      if (!isRejection(result)) this.#entries.set(result, entry);
    }
    return result;
  }

  /** What an entry says, whether this node believes it or not; null when it cannot be read. */
  recordOf(entry: Entry): LeaseRecord | null {
    const record = decodeRecord(this.nameOf(entry), entry.value);
    return isRejection(record) ? null : record;
  }

  /** The value that a lease was read from. */
  textOf(lease: Lease): string {
    return this.#entries.get(lease)?.value ?? "";
  }

  /** The create revision of the entry that a lease was read from; below zero when it is remembered only. */
  createdAt(lease: Lease): number {
    return this.#entries.get(lease)?.createRevision ?? -1;
  }

  /** The key's last part. */
  nameOf({ key }: Entry): string {
    return key.slice(this.#prefix.length);
  }

  /** The whole key of a lease with this last part. */
  keyOf(name: string): string {
    return this.#prefix + name;
  }
}
