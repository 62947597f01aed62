/**
 * What this node makes of the leases in etcd: the snapshots for the daemon. Remembers what was in use before, since a
 * key that turned bad keeps its last good lease, and holds leases that vanished together with many others.
 */
import type { Logger } from "pino";
import type { NetworkConfig } from "../config/network-config.js";
import type { Lease, Rejection } from "../lease/lease.js";
import { makeSnapshot, olderHolder } from "../lease/policy.js";
import type { Snapshot } from "../lease/registry.js";
import { Withdrawals } from "../lease/withdrawals.js";
import type { Leases } from "./leases.js";

/** Stands for all keys that are too many to be looked at. */
const UNREAD: Rejection = {
  key: "",
  reason: "too-many",
  message: "there are more keys than any network has: the youngest are not looked at",
};

export class Picture {
  readonly #leases: Leases;
  readonly #holdMs: number;
  readonly #log: Logger;
  readonly #withdrawals: Withdrawals;
  #peers: readonly Lease[] = [];
  #rival: string | null = null;

  /** @param holdMs how long leases are held that vanish together with many others; 0 = not at all */
  constructor(leases: Leases, holdMs: number, log: Logger) {
    this.#leases = leases;
    this.#holdMs = holdMs;
    this.#withdrawals = new Withdrawals(holdMs, (lease) => leases.createdAt(lease));
    this.#log = log;
  }

  /** Those in use. */
  get peers(): readonly Lease[] {
    return this.#peers;
  }

  /** When the first hold ends and etcd should be asked afresh; null when nothing is held. */
  get dueAt(): number | null {
    return this.#withdrawals.dueAt;
  }

  /** An older lease of another node has this node's subnet, hence every other node routes it there. */
  get contested(): boolean {
    return this.#rival !== null;
  }

  /** What is wrong with the leases, a sentence; null when nothing is. */
  get problem(): string | null {
    const count = this.#withdrawals.held.length;
    const held =
      `${count} leases vanished from etcd at once: their routes are kept for ${this.#holdMs / 1000} s, ` +
      "then etcd is asked again";
    return [this.#rival, count === 0 ? null : held].filter((each) => each !== null).join("; ") || null;
  }

  /**
   * Looks at the leases anew.
   *
   * @param fresh the copy was just listed in order to learn what has become of held leases
   */
  take(own: Lease, config: NetworkConfig, fresh: boolean): Omit<Snapshot, "stale"> {
    const entries = this.#leases.oldestFirst();
    const ownKey = this.#leases.keyOf(own.key);
    const ownIndex = entries.findIndex(({ key }) => key === ownKey);
    const others = entries.filter((_entry, index) => index !== ownIndex);
    const results = others.map((entry) => this.#leases.read(entry, config));
    const { peers: standing, rejected } = makeSnapshot(results, own, this.#withdrawals);
    // Who claims this node's subnet is among the rejected.
    const older = rejected.length === 0 ? [] : results.slice(0, Math.max(ownIndex, 0));
    this.#noteRival(olderHolder(older, own));
    const heldBefore = this.#withdrawals.held.length;
    this.#withdrawals.update(standing, entries[ownIndex]?.createRevision ?? null, performance.now(), fresh);
    const { held } = this.#withdrawals;
    if (held.length > heldBefore) {
      this.#log.warn({ count: held.length }, "many leases vanished at once, their routes are kept");
    } else if (heldBefore > 0 && held.length === 0) {
      this.#log.info("no routes of vanished leases are kept any more");
    }
    this.#peers = [...standing, ...held];
    const unread = this.#leases.watch.others === 0 ? [] : [UNREAD];
    return { config, peers: this.#peers, rejected: [...rejected, ...unread], held: held.length };
  }

  #noteRival(key: string | null): void {
    const rival =
      key === null ? null : `the older lease ${key} has this node's subnet: other nodes route it there`;
    if (rival !== null && rival !== this.#rival)
      this.#log.error({ key }, "an older lease has this node's subnet");
    this.#rival = rival;
  }
}
