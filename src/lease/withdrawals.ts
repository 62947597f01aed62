/**
 * Leases that vanish from the registry: believed one by one, not in masses. An etcd that lost its data, an expired
 * cluster or a slip of an operator's hand looks like many nodes that leave at once, and would cost every pod its
 * routes. So when many leases vanish within 10 s, all of these are held: they stay in use for a while, and are given up
 * only when a fresh look at the registry still misses them.
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
  /** In the registry's order, and by key. */
  #inOrder: readonly Lease[] = [];
  readonly #standing = new Map<string, Lease>();
  /** Vanished within the window and given up. */
  #gone: readonly { readonly lease: Lease; readonly at: number }[] = [];
  readonly #held = new Map<string, { readonly lease: Lease; readonly until: number }>();
  #own: number | null = null;
  #ownLostAt = -Infinity;

  /** @param holdMs how long a mass of leases is held; 0 = not at all */
  constructor(holdMs: number) {
    this.#holdMs = holdMs;
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
   * @param own tells this node's own entry from a later one in its place, null when there is none: a single peer
   *   that vanishes is held only when the own lease vanished as well
   * @param now monotonic, ms
   * @param fresh the registry was just asked: what was held until now and still is not there is given up
   */
  update(standing: readonly Lease[], own: number | null, now: number, fresh: boolean): void {
    if (this.#own !== null && own !== this.#own) this.#ownLostAt = now;
    this.#own = own;
    const before = this.#standing.size;
    const vanished = this.#replace(standing);
    if (vanished.length + this.#gone.length + this.#held.size === 0) return;
    const taken = new Set(standing.flatMap(prefixes));
    const isFree = (lease: Lease): boolean => !prefixes(lease).some((prefix) => taken.has(prefix));
    const earlier = this.#gone.filter(({ lease, at }) => now - at <= WINDOW_MS && isFree(lease));
    this.#gone = [...earlier, ...vanished.filter(isFree).map((lease) => ({ lease, at: now }))];
    for (const [key, { lease, until }] of this.#held) {
      if (!isFree(lease) || (fresh && until <= now)) this.#held.delete(key);
    }
    if (!this.#isMass(before + earlier.length, now)) return;
    for (const { lease } of this.#gone) this.#held.set(lease.key, { lease, until: now + this.#holdMs });
    this.#gone = [];
  }

  /** Enters what stands now; returns what stood before and has no successor of its key. */
  #replace(standing: readonly Lease[]): Lease[] {
    for (const [index, lease] of standing.entries()) {
      if (this.#inOrder[index] !== lease) this.#standing.set(lease.key, lease);
    }
    this.#inOrder = standing;
    if (this.#standing.size === standing.length) return [];
    const keys = new Set(standing.map(({ key }) => key));
    const vanished = [...this.#standing.values()].filter(({ key }) => !keys.has(key));
    for (const { key } of vanished) this.#standing.delete(key);
    return vanished;
  }

  /** @param all how many leases there were when the first of those that are gone went */
  #isMass(all: number, now: number): boolean {
    const lost = this.#gone.length;
    if (this.#holdMs === 0 || lost === 0) return false;
    // Of two nodes one may well leave. An empty registry lacks the own lease, too.
    if (lost === 1 && now - this.#ownLostAt > WINDOW_MS) return false;
    return lost > all / 2 || lost > Math.max(FEW, all * SHARE);
  }
}

function prefixes({ subnets }: Lease): string[] {
  return subnets.map(({ prefix }) => prefix.text);
}
