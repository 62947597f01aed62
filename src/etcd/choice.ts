/**
 * Which lease this node should hold: chosen anew from the leases as they stand, whenever they have changed, until one
 * is won. Says why when there is none to choose.
 */
import type { Logger } from "pino";
import type { NetworkConfig } from "../config/network-config.js";
import { formatKey, namedSubnets } from "../lease/codec.js";
import type { Lease } from "../lease/lease.js";
import { isOwn, type LeasePlan, planLease } from "../lease/plan.js";
import type { Cidr } from "../net/cidr.js";
import type { LeaseRequest } from "../lease/registry.js";
import type { Leases } from "./leases.js";
import type { Entry } from "./entries.js";
import type { Claim } from "./own-lease.js";

/** What this node holds or is about to claim: the request it was made for, how it is claimed, and the lease. */
export interface Own {
  readonly request: LeaseRequest;
  readonly claim: Claim;
  readonly lease: Lease;
  /** The key is not in etcd yet. */
  readonly isNew: boolean;
}

export class Choice {
  readonly #leases: Leases;
  readonly #log: Logger;
  #problem: string | null = null;
  /** Those that were looked at while choosing. */
  #subnets = new WeakMap<Entry, readonly Cidr[]>();

  constructor(leases: Leases, log: Logger) {
    this.#leases = leases;
    this.#log = log;
  }

  /** To be called when a choice was won: what was kept for the next one is not needed any more. */
  end(): void {
    this.#subnets = new WeakMap();
  }

  /** Why there is nothing to choose, a sentence; null when there is. */
  get problem(): string | null {
    return this.#problem;
  }

  /**
   * What to claim; null while no subnet is free. Throws what `planLease` throws.
   *
   * @param config as it is now: its bounds may have moved since the request
   * @param candidates among how many free subnets to choose
   */
  make(asked: LeaseRequest, config: NetworkConfig, candidates: number): Own | null {
    const request = { ...asked, config };
    const entries = this.#leases.oldestFirst();
    const taken = entries.flatMap((entry) => this.#subnetsOf(entry));
    // Of all others' values nothing is needed, and reading them is most of the work of a start.
    const { publicIp, nodeId } = request;
    const ownWords = [
      publicIp === null ? [] : publicIp.text,
      nodeId === null ? [] : JSON.stringify(nodeId),
    ].flat();
    const records = entries
      .filter(({ value }) => ownWords.some((word) => value.includes(word)))
      .map((entry) => this.#leases.recordOf(entry))
      .filter((record) => record !== null);
    const plan = planLease(request, records, taken, candidates, Math.random);
    this.#note(plan === null ? `pool: no subnet of ${config.ipv4?.network.text ?? ""} is free` : null);
    return plan === null ? null : this.#ownOf(plan, request);
  }

  /**
   * The lease of the last run as it was remembered, without asking etcd; null when it is not this node's any more or
   * does not fit the request.
   */
  remembered(request: LeaseRequest): Own | null {
    const [own] = this.#leases.remembered;
    if (own === undefined) return null;
    const record = this.#leases.recordOf(own);
    if (record === null || !isOwn(record, request)) return null;
    const plan = planLease(request, [record], [], 1, Math.random);
    return plan?.key === this.#leases.nameOf(own) ? this.#ownOf(plan, request) : null;
  }

  #ownOf({ key, value, subnet, lease, isNew }: LeasePlan, request: LeaseRequest): Own {
    const wholeKey = this.#leases.keyOf(key);
    const basis = isNew ? null : (this.#leases.watch.entries.get(wholeKey)?.modRevision ?? null);
    const claim: Claim = {
      key: wholeKey,
      basis,
      value,
      subnetKey: this.#leases.keyOf(formatKey({ subnet, subnet6: null })),
      isOurs: (entry) => {
        const record = this.#leases.recordOf(entry);
        // What nobody can read belongs to nobody else.
        return record === null || isOwn(record, request);
      },
    };
    return { request, claim, lease, isNew };
  }

  #subnetsOf(entry: Entry): readonly Cidr[] {
    let subnets = this.#subnets.get(entry);
    if (subnets === undefined) {
      subnets = namedSubnets(this.#leases.nameOf(entry));
      this.#subnets.set(entry, subnets);
    }
    return subnets;
  }

  #note(problem: string | null): void {
    if (problem !== null && problem !== this.#problem) this.#log.error({ reason: "pool" }, problem);
    this.#problem = problem;
  }
}
