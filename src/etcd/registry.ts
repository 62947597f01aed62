/**
 * The registry over etcd, in flannel's notation and beside flannel nodes.
 *
 * Two live copies are kept: of `<prefix>/config` from `networkConfig` on, and of `<prefix>/subnets/` from `acquire`
 * on. The subnet is chosen from the second copy and claimed by a transaction; who loses sees the winner in the copy
 * and chooses again. Snapshots are made from the same copy, at most one per 50 ms; what is not believed of it is
 * decided in `lease/policy.ts`, and whether many leases that vanish at once are, in `lease/withdrawals.ts`.
 */
import type { Logger } from "pino";
import { WeftError } from "../config/errors.js";
import { type NetworkConfig, parseNetworkConfig } from "../config/network-config.js";
import type { EtcdOptions } from "../config/options.js";
import { FIRST_CANDIDATES } from "../lease/allocator.js";
import { formatKey, parseKey } from "../lease/codec.js";
import type { Lease } from "../lease/lease.js";
import { isOwn, planLease } from "../lease/plan.js";
import { makeSnapshot, readLease, type Reading } from "../lease/policy.js";
import type { LeaseRequest, Registry, RegistryStatus, Snapshot } from "../lease/registry.js";
import { Withdrawals } from "../lease/withdrawals.js";
import { Backoff, pause } from "./backoff.js";
import type { EtcdError } from "./connection.js";
import { EtcdClient, retry } from "./client.js";
import { prefixRange, singleKey } from "./messages.js";
import { type Claim, OwnLease } from "./own-lease.js";
import { paced } from "./paced.js";
import { type Entry, RangeWatch } from "./range-watch.js";

const GATHER_MS = 50;
/** After a lost race the choice is among all: nodes that start together then rarely meet again. */
const ALL_CANDIDATES = Number.MAX_SAFE_INTEGER;

/** What this node holds: the request it was made for, and the lease. */
interface Own {
  readonly request: LeaseRequest;
  readonly claim: Claim;
  readonly lease: Lease;
}

export class EtcdRegistry implements Registry {
  readonly #log: Logger;
  readonly #client: EtcdClient;
  readonly #configKey: string;
  readonly #subnetsPrefix: string;
  readonly #config: RangeWatch;
  readonly #subnets: RangeWatch;
  readonly #ownLease: OwnLease;
  readonly #closing = new AbortController();
  readonly #tasks: Promise<void>[] = [];
  /** Every entry is read once. */
  readonly #readings = new WeakMap<Entry, Reading>();
  readonly #withdrawals: Withdrawals;
  readonly #withdrawalHoldMs: number;
  #own: Own | null = null;
  #keeping = { stop: new AbortController(), ended: Promise.resolve() };
  /** In use, by key. */
  #peers: ReadonlyMap<string, Lease> = new Map();
  #releasing = false;
  /** What etcd's content lacks, as sentences. */
  readonly #problems = { config: null as string | null, pool: null as string | null };

  /**
   * @param renewMarginMinutes the own lease is renewed this long before its end at the latest
   * @throws ConfigError when the TLS files cannot be used
   */
  constructor(options: EtcdOptions, renewMarginMinutes: number, log: Logger) {
    this.#log = log.child({ component: "etcd" });
    this.#client = new EtcdClient(options, this.#log);
    this.#configKey = `${options.prefix}/config`;
    this.#subnetsPrefix = `${options.prefix}/subnets/`;
    this.#config = new RangeWatch(this.#client, singleKey(this.#configKey), this.#log);
    this.#subnets = new RangeWatch(this.#client, prefixRange(this.#subnetsPrefix), this.#log);
    this.#withdrawalHoldMs = options.withdrawalHoldMs;
    this.#withdrawals = new Withdrawals(options.withdrawalHoldMs);
    this.#ownLease = new OwnLease(this.#client, this.#subnets, renewMarginMinutes * 60, this.#log);
  }

  async networkConfig(signal: AbortSignal): Promise<NetworkConfig> {
    this.#background(this.#config.run(this.#closing.signal));
    const entry = await this.#config.until((entries) => {
      const found = entries.get(this.#configKey) ?? null;
      this.#report("config", found === null ? `there is no network config at ${this.#configKey} yet` : null);
      return found;
    }, this.#orClosing(signal));
    const config = parseNetworkConfig(entry.value.toString());
    this.#config.on("change", () => this.#checkConfig(entry.value));
    return config;
  }

  async acquire(request: LeaseRequest, signal: AbortSignal): Promise<Lease> {
    this.#background(this.#subnets.run(this.#closing.signal));
    const stop = this.#orClosing(signal);
    const backoff = new Backoff();
    let candidates = FIRST_CANDIDATES;
    try {
      for (;;) {
        const { claim, lease } = await this.#subnets.until(() => this.#choose(request, candidates), stop);
        if (await retry(() => this.#ownLease.claim(claim), stop)) {
          this.#own = { request, claim, lease };
          this.#keep(claim);
          return lease;
        }
        candidates = ALL_CANDIDATES;
        await backoff.wait(stop);
      }
    } catch (error) {
      await this.#ownLease.giveUp().catch(() => undefined);
      throw error;
    }
  }

  async watch(onSnapshot: (snapshot: Snapshot) => void, signal: AbortSignal): Promise<void> {
    const own = this.#own;
    if (own === null) throw new Error("watch is called after acquire");
    const stop = this.#orClosing(signal);
    await this.#subnets.until(() => true, stop);
    const deliver = (fresh: boolean): void => {
      if (stop.aborted) return;
      onSnapshot(this.#snapshot(own, fresh));
      if (this.#withdrawals.dueAt === null || this.#releasing) return;
      this.#releasing = true;
      this.#background(this.#release(deliver));
    };
    deliver(false);
    this.#subnets.on(
      "change",
      paced(() => deliver(false), GATHER_MS, stop),
    );
  }

  status(): RegistryStatus {
    const { endpoint, connected, problem, lastContact } = this.#client;
    const silentMs = lastContact === null || connected ? 0 : performance.now() - lastContact;
    return {
      kind: "etcd",
      source: endpoint,
      connected,
      problem:
        [problem, this.#ownLease.problem, this.#problems.config, this.#problems.pool, this.#describeHeld()]
          .filter((each) => each !== null)
          .join("; ") || null,
      failed: this.#problems.pool !== null || this.#ownLease.lost,
      // While a stream is open, pings vouch for etcd even when nothing changes.
      lastContactSeconds: lastContact === null ? null : silentMs / 1000,
      revision: this.#subnets.revision,
      leaseTtlSeconds: this.#own === null ? null : this.#ownLease.ttlSeconds(),
      restores: this.#subnets.restores,
      certificateSeconds: this.#client.certificateSeconds,
    };
  }

  async leave(): Promise<string> {
    const own = this.#own;
    if (own === null) throw new WeftError("this node has no subnet yet: there is nothing to give back");
    this.#keeping.stop.abort();
    await this.#keeping.ended;
    try {
      const what = await this.#ownLease.giveUp();
      if (what === "lease") return `the lease ${own.lease.key} is given back`;
      if (what === "nothing") return `the lease ${own.lease.key} was not this node's any more`;
      return `${own.lease.key} is a reservation, a key without an etcd lease: it stays; remove it with etcdctl`;
    } catch (error) {
      this.#keep(own.claim);
      const { message } = error as EtcdError;
      throw new WeftError(`the lease cannot be given back, weftd goes on: ${message}`, undefined, {
        cause: error,
      });
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new WeftError("the registry is closed"));
    this.#client.close();
    await Promise.all(this.#tasks);
  }

  #orClosing(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#closing.signal]);
  }

  #keep(claim: Claim): void {
    const stop = new AbortController();
    const signal = this.#orClosing(stop.signal);
    const ended = this.#ownLease.keep(claim, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    this.#keeping = { stop, ended };
    this.#background(ended);
  }

  #background(task: Promise<void>): void {
    const ended = task.catch((error: unknown) => {
      if (!this.#closing.signal.aborted) throw error;
    });
    this.#tasks.push(ended);
  }

  /** Sets what `status` says about the registry's content; the log hears of it when it is new. */
  #report(part: "config" | "pool", problem: string | null): void {
    if (problem !== null && problem !== this.#problems[part]) this.#log.warn(problem);
    this.#problems[part] = problem;
  }

  #describeHeld(): string | null {
    const count = this.#withdrawals.held.length;
    if (count === 0) return null;
    return (
      `${count} leases vanished from etcd at once: their routes are kept for ${this.#withdrawalHoldMs / 1000} s, ` +
      "then etcd is asked again"
    );
  }

  /** A config that changes while the daemon runs takes effect with the next start. */
  #checkConfig(inForce: Buffer): void {
    const value = this.#config.entries.get(this.#configKey)?.value;
    if (value === undefined)
      this.#report("config", "the network config is gone from etcd; the old one stays in force");
    else this.#report("config", value.equals(inForce) ? null : describeChange(value.toString()));
  }

  /** What to claim; null while no subnet is free. */
  #choose(request: LeaseRequest, candidates: number): { claim: Claim; lease: Lease } | null {
    const entries = this.#oldestFirst();
    const records = entries
      .map((entry) => this.#read(entry, request).record)
      .filter((record) => record !== null);
    const taken = entries.flatMap((entry) => {
      const subnets = parseKey(this.#lastPart(entry));
      return [subnets?.subnet ?? null, subnets?.subnet6 ?? null].filter((subnet) => subnet !== null);
    });
    const plan = planLease(request, records, taken, candidates, Math.random);
    this.#report(
      "pool",
      plan === null ? `no subnet of ${request.config.ipv4?.network.text ?? ""} is free` : null,
    );
    if (plan === null) return null;
    const claim: Claim = {
      key: this.#subnetsPrefix + plan.key,
      value: plan.value,
      // `10.5.32.0-24` and `10.5.32.0-24&…` are one IPv4 subnet.
      guard: prefixRange(this.#subnetsPrefix + formatKey({ subnet: plan.subnet, subnet6: null })),
      isOurs: (entry) => {
        const { record } = this.#read(entry, request);
        return record !== null && isOwn(record, request);
      },
    };
    return { claim, lease: plan.lease };
  }

  /** @param fresh the copy was just listed anew in order to learn what has become of held leases */
  #snapshot({ request, lease }: Own, fresh: boolean): Snapshot {
    const others = this.#oldestFirst().filter((entry) => this.#lastPart(entry) !== lease.key);
    const results = others.map((entry) => this.#read(entry, request).result);
    const { peers: standing, rejected } = makeSnapshot(results, lease, this.#peers);
    const ownEntry = this.#subnets.entries.get(this.#subnetsPrefix + lease.key);
    const heldBefore = this.#withdrawals.held.length;
    this.#withdrawals.update(standing, ownEntry?.createRevision ?? null, performance.now(), fresh);
    const { held } = this.#withdrawals;
    if (held.length > heldBefore) {
      this.#log.warn({ count: held.length }, "many leases vanished at once, their routes are kept");
    } else if (heldBefore > 0 && held.length === 0) {
      this.#log.info("no routes of vanished leases are kept any more");
    }
    const peers = [...standing, ...held];
    this.#peers = new Map(peers.map((peer) => [peer.key, peer]));
    return { peers, rejected, held: held.length };
  }

  /** Looks at etcd afresh when a hold ends, until none is left. Jitter keeps the nodes of a network apart. */
  async #release(deliver: (fresh: boolean) => void): Promise<void> {
    const { signal } = this.#closing;
    for (let dueAt; (dueAt = this.#withdrawals.dueAt) !== null;) {
      await pause(Math.max(0, dueAt - performance.now()) * (1 + Math.random() / 10), signal);
      if (performance.now() < dueAt) continue;
      await this.#subnets.refresh(signal);
      deliver(true);
    }
    this.#releasing = false;
  }

  #oldestFirst(): Entry[] {
    return [...this.#subnets.entries.values()].sort((a, b) => a.createRevision - b.createRevision);
  }

  #read(entry: Entry, { config }: LeaseRequest): Reading {
    let reading = this.#readings.get(entry);
    if (reading === undefined) {
      reading = readLease(this.#lastPart(entry), entry.value, config);
      this.#readings.set(entry, reading);
    }
    return reading;
  }

  #lastPart({ key }: Entry): string {
    return key.slice(this.#subnetsPrefix.length);
  }
}

function describeChange(value: string): string {
  try {
    parseNetworkConfig(value);
    return "the network config was changed in etcd; restart weftd to apply it";
  } catch (error) {
    return `the network config in etcd is invalid now, the old one stays in force: ${(error as Error).message}`;
  }
}
