/**
 * Leases that vanish from the registry: believed one by one, not in masses. An etcd that lost its data, an expired
 * cluster or a slip of an operator's hand looks like many nodes that leave at once, and would cost every pod its
 * routes. So when many leases vanish within 10 s, all of these are held: they stay in use for a while, and are given up
 * only when a fresh look at the registry still misses them. Those that are back by now have vanished as well: nodes put
 * their leases back sooner than others may look.
 *
 * Pure: the registry tells which leases stand and what time it is, and gets told which to keep beside them.
 */
import type { Lease } from "./lease.js";

/** What vanishes within this time is one event. */
const WINDOW_MS = 10_000;
/** So many may always vanish at once, unless they are more than half of all. */
const FEW = 10;
const SHARE = 0.2;

export class Withdrawals {
  readonly #holdMs: number;
  readonly #createdAt: (lease: Lease) => number;
  /** In the registry's order, and by key. */
  #inOrder: readonly Lease[] = [];
  readonly #standing = new Map<string, Lease>();
  /** Vanished within the window, by key; they are given up, held, or back. */
  readonly #gone = new Map<string, { readonly lease: Lease; readonly at: number }>();
  readonly #held = new Map<string, { readonly lease: Lease; readonly until: number }>();
  #own: number | null = null;
  #ownLostAt = -Infinity;

  /**
   * @param holdMs how long a mass of leases is held; 0 = not at all
   * @param createdAt tells a lease's entry in the registry from a later one of its key; below zero: not known
   */
  constructor(holdMs: number, createdAt: (lease: Lease) => number) {
    this.#holdMs = holdMs;
    this.#createdAt = createdAt;
  }

  /** The leases that are held now. */
  get held(): readonly Lease[] {
    return [...this.#held.values()].map(({ lease }) => lease);
  }

  /** The lease with this key that stood at the last update or is held. */
  get(key: string): Lease | undefined {
    return this.#standing.get(key) ?? this.#held.get(key)?.lease;
  }

  /** When the first hold ends and the registry should be looked at afresh; null when nothing is held. */
  get dueAt(): number | null {
    // Holds begin in this order, and all are equally long.
    const [first] = this.#held.values();
    return first?.until ?? null;
  }

  /**
   * Takes note of the leases of the others that stand in the registry, all of them.
   *
   * @param own when this node's own entry was created, in the same way; null when there is none. A single peer that
   *   vanishes is held only when the own lease vanished as well
   * @param now monotonic, ms
   * @param fresh the registry was just asked: what was held until now and still is not there is given up
   */
  update(standing: readonly Lease[], own: number | null, now: number, fresh: boolean): void {
    if (this.#own !== null && (own === null || areTwo(this.#own, own))) this.#ownLostAt = now;
    this.#own = own;
    for (const [key, { at }] of this.#gone) {
      if (now - at > WINDOW_MS) this.#gone.delete(key);
    }
    const missing = [...this.#gone.keys()].filter((key) => !this.#standing.has(key));
    const before = this.#standing.size + missing.length;
    for (const lease of this.#replace(standing)) this.#gone.set(lease.key, { lease, at: now });
    if (this.#gone.size + this.#held.size === 0) return;
    const taken = new Set(standing.flatMap(prefixes));
    const isFree = (lease: Lease): boolean => !prefixes(lease).some((prefix) => taken.has(prefix));
    for (const [key, { lease }] of this.#gone) {
      const hasSuccessor = !isFree(lease) && !this.#standing.has(key);
      if (hasSuccessor) this.#gone.delete(key);
    }
    for (const [key, { lease, until }] of this.#held) {
      const isOver = fresh && until <= now;
      if (isOver) this.#gone.delete(key);
      if (isOver || !isFree(lease)) this.#held.delete(key);
    }
    if (!this.#isMass(before, now)) return;
    for (const [key, { lease }] of this.#gone) {
      if (isFree(lease) && !this.#held.has(key)) this.#held.set(key, { lease, until: now + this.#holdMs });
    }
  }

  /** Enters what stands now; returns what stood before and does not now, or was created again. */
  #replace(standing: readonly Lease[]): Lease[] {
    const vanished: Lease[] = [];
    for (const [index, lease] of standing.entries()) {
      if (this.#inOrder[index] === lease) continue;
      const before = this.#standing.get(lease.key) ?? lease;
      if (before !== lease && areTwo(this.#createdAt(before), this.#createdAt(lease))) vanished.push(before);
      this.#standing.set(lease.key, lease);
    }
    this.#inOrder = standing;
    if (this.#standing.size === standing.length) return vanished;
    const keys = new Set(standing.map(({ key }) => key));
    for (const [key, lease] of this.#standing) {
      if (keys.has(key)) continue;
      vanished.push(lease);
      this.#standing.delete(key);
    }
    return vanished;
  }

  /** @param all how many leases there were when the first of those that are gone went */
  #isMass(all: number, now: number): boolean {
    const lost = this.#gone.size;
    if (this.#holdMs === 0 || lost === 0) return false;
    // Of two nodes one may well leave. An empty registry lacks the own lease, too.
    if (lost === 1 && now - this.#ownLostAt > WINDOW_MS) return false;
    return lost > all / 2 || lost > Math.max(FEW, all * SHARE);
  }
}

/** Whether entries of one key that were created then are known to be two. */
function areTwo(before: number, now: number): boolean {
  return before !== now && before >= 0 && now >= 0;
}

function prefixes({ subnets }: Lease): string[] {
  return subnets.map(({ prefix }) => prefix.text);
}
