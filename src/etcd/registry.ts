/**
 * The registry over etcd, in flannel's notation and beside flannel nodes.
 *
 * Two live copies are kept from `networkConfig` on: of `<prefix>/config` and of `<prefix>/subnets/`. The subnet is
 * chosen from the second and claimed by a transaction; who loses sees the winner in the copy and chooses again.
 * Snapshots are made from the same copy, at most one per 50 ms; what is not believed of it is decided in
 * `lease/policy.ts`, and whether many leases that vanish at once are, in `lease/withdrawals.ts`.
 *
 * What was in use last is remembered in a file. When etcd does not answer at the start, its leases stand in for the
 * copy until the first list; nothing else differs.
 */
import type { Logger } from "pino";
import { WeftError } from "../config/errors.js";
import { type NetworkConfig, parseNetworkConfig } from "../config/network-config.js";
import type { EtcdOptions } from "../config/options.js";
import { FIRST_CANDIDATES } from "../lease/allocator.js";
import { formatKey, parseKey } from "../lease/codec.js";
import type { Lease } from "../lease/lease.js";
import type { Memory, RememberedLease } from "../lease/memory.js";
import { isOwn, type LeasePlan, planLease } from "../lease/plan.js";
import { isRejection, makeSnapshot, readLease, type Reading } from "../lease/policy.js";
import type { LeaseRequest, Registry, RegistryStatus, Snapshot } from "../lease/registry.js";
import { Withdrawals } from "../lease/withdrawals.js";
import { Backoff, pause } from "./backoff.js";
import type { EtcdError } from "./connection.js";
import { EtcdClient, retry } from "./client.js";
import { ConfigWatch } from "./config-watch.js";
import { MemoryFile } from "./memory-file.js";
import { prefixRange } from "./messages.js";
import { type Claim, OwnLease } from "./own-lease.js";
import { paced } from "./paced.js";
import { type Entry, RangeWatch } from "./range-watch.js";

const GATHER_MS = 50;
/** After a lost race the choice is among all: nodes that start together then rarely meet again. */
const ALL_CANDIDATES = Number.MAX_SAFE_INTEGER;

const STALE = "stale: etcd has not answered yet, routes are those of the last run";

/** What this node holds: the request it was made for, how it is claimed, and the lease. */
interface Own {
  readonly request: LeaseRequest;
  readonly claim: Claim;
  readonly lease: Lease;
}

export class EtcdRegistry implements Registry {
  readonly #log: Logger;
  readonly #client: EtcdClient;
  readonly #options: EtcdOptions;
  readonly #subnetsPrefix: string;
  readonly #config: ConfigWatch;
  readonly #subnets: RangeWatch;
  readonly #ownLease: OwnLease;
  readonly #closing = new AbortController();
  readonly #tasks: Promise<void>[] = [];
  readonly #memory: MemoryFile | null;
  /** What stands in for etcd's leases before the first list. */
  #remembered: readonly Entry[] = [];
  /** Every entry is read once, and its lease's text remembered with it. */
  readonly #readings = new WeakMap<Entry, Reading>();
  readonly #texts = new WeakMap<Lease, Buffer>();
  readonly #withdrawals: Withdrawals;
  #own: Own | null = null;
  #keeping = { stop: new AbortController(), ended: Promise.resolve() };
  /** In use, by key. */
  #peers: ReadonlyMap<string, Lease> = new Map();
  #releasing = false;
  #poolProblem: string | null = null;

  /**
   * @param renewMarginMinutes the own lease is renewed this long before its end at the latest
   * @param memoryPath where to remember what was in use last; null = nowhere
   * @throws ConfigError when the TLS files cannot be used
   */
  constructor(
    options: EtcdOptions,
    renewMarginMinutes: number,
    log: Logger,
    memoryPath: string | null = null,
  ) {
    this.#options = options;
    this.#log = log.child({ component: "etcd" });
    this.#client = new EtcdClient(options, this.#log);
    this.#subnetsPrefix = `${options.prefix}/subnets/`;
    this.#config = new ConfigWatch(this.#client, `${options.prefix}/config`, this.#log);
    this.#subnets = new RangeWatch(this.#client, prefixRange(this.#subnetsPrefix), this.#log);
    this.#memory = memoryPath === null ? null : new MemoryFile(memoryPath, this.#log);
    this.#withdrawals = new Withdrawals(options.withdrawalHoldMs);
    this.#ownLease = new OwnLease(this.#client, this.#subnets, renewMarginMinutes * 60, this.#log);
  }

  async networkConfig(signal: AbortSignal): Promise<NetworkConfig> {
    const { signal: closing } = this.#closing;
    this.#background(this.#config.run(closing));
    this.#background(this.#subnets.run(closing));
    const memory = this.#recall();
    const leases = memory === null ? [] : [memory.own, ...memory.peers];
    this.#remembered = leases.map((lease, index) => this.#rememberedEntry(lease, index));
    const onChange = (): void => void this.#subnets.emit("change");
    return this.#config.first(memory?.config ?? null, onChange, this.#orClosing(signal));
  }

  async acquire(request: LeaseRequest, signal: AbortSignal): Promise<Lease> {
    this.#own = this.#resume(request) ?? (await this.#take(request, this.#orClosing(signal)));
    const { claim, lease } = this.#own;
    this.#keep(claim);
    return lease;
  }

  /** The lease of the last run, when etcd does not answer and it fits the request; null otherwise. */
  #resume(request: LeaseRequest): Own | null {
    const [own] = this.#remembered;
    if (own === undefined || this.#client.connected || this.#subnets.listed) return null;
    const { record } = this.#read(own, request);
    if (record === null || record.publicIp.text !== request.publicIp?.text || !isOwn(record, request)) {
      return null;
    }
    const plan = planLease(request, [record], [], FIRST_CANDIDATES, Math.random);
    if (plan?.key !== this.#lastPart(own)) return null;
    this.#log.warn({ key: own.key }, "etcd does not answer: starting with what the last run had");
    return { request, claim: this.#claimOf(plan, request), lease: plan.lease };
  }

  /** Chooses a subnet and claims it, until one is won. */
  async #take(request: LeaseRequest, stop: AbortSignal): Promise<Own> {
    const backoff = new Backoff();
    let candidates = FIRST_CANDIDATES;
    try {
      for (;;) {
        const own = await this.#subnets.until(() => this.#choose(request, candidates), stop);
        if (await retry(() => this.#ownLease.claim(own.claim), stop)) return own;
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
    if (!this.#isStale()) await this.#subnets.until(() => true, stop);
    const deliver = (fresh: boolean): void => {
      if (stop.aborted) return;
      onSnapshot(this.#snapshot(own, fresh));
      if (this.#subnets.listed) this.#memory?.write(() => this.#remember(own));
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
        [
          this.#isStale() ? STALE : null,
          problem,
          this.#ownLease.problem,
          this.#config.problem,
          this.#poolProblem,
          this.#describeHeld(),
        ]
          .filter((each) => each !== null)
          .join("; ") || null,
      failed: this.#poolProblem !== null || this.#ownLease.lost,
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
    if (!this.#subnets.listed) {
      throw new WeftError("the lease cannot be given back, weftd goes on: etcd has not answered yet");
    }
    this.#keeping.stop.abort();
    await this.#keeping.ended;
    try {
      const what = await this.#ownLease.giveUp();
      await this.#memory?.forget();
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
    await this.#memory?.close();
  }

  /** The picture is that of the last run. */
  #isStale(): boolean {
    return this.#own !== null && !this.#subnets.listed;
  }

  /** The memory of the last run, if it is of this prefix and, as far as one can tell, of this cluster. */
  #recall(): Memory | null {
    const { prefix, endpoints } = this.#options;
    const memory = this.#memory?.read() ?? null;
    if (memory?.prefix !== prefix || !memory.endpoints.some((each) => endpoints.includes(each))) return null;
    try {
      parseNetworkConfig(memory.config);
    } catch {
      return null;
    }
    return memory;
  }

  #remember({ lease, claim }: Own): Memory {
    const { prefix, endpoints } = this.#options;
    const peers = [...this.#peers.values()].map((peer): RememberedLease => {
      return { key: peer.key, value: this.#texts.get(peer)?.toString() ?? "" };
    });
    const own = { key: lease.key, value: claim.value.toString() };
    return { prefix, endpoints: [...endpoints], config: this.#config.text, own, peers };
  }

  #rememberedEntry({ key, value }: RememberedLease, index: number): Entry {
    return {
      key: this.#subnetsPrefix + key,
      value: Buffer.from(value),
      createRevision: index,
      modRevision: 0,
      lease: "0",
    };
  }

  #orClosing(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#closing.signal]);
  }

  #keep(claim: Claim): void {
    const stop = new AbortController();
    const signal = this.#orClosing(stop.signal);
    const ended = this.#claimAndKeep(claim, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    this.#keeping = { stop, ended };
    this.#background(ended);
  }

  /** A remembered lease is claimed as soon as etcd shows what has become of it; one that is held stays as it is. */
  async #claimAndKeep(claim: Claim, signal: AbortSignal): Promise<void> {
    await this.#subnets.until(() => true, signal);
    const standing = this.#subnets.entries.get(claim.key);
    if (standing === undefined || claim.isOurs(standing)) {
      await retry(() => this.#ownLease.claim(claim), signal);
    }
    await this.#ownLease.keep(claim, signal);
  }

  #background(task: Promise<void>): void {
    const ended = task.catch((error: unknown) => {
      if (!this.#closing.signal.aborted) throw error;
    });
    this.#tasks.push(ended);
  }

  #describeHeld(): string | null {
    const count = this.#withdrawals.held.length;
    if (count === 0) return null;
    return (
      `${count} leases vanished from etcd at once: their routes are kept for ${this.#options.withdrawalHoldMs / 1000} s, ` +
      "then etcd is asked again"
    );
  }

  /** What to claim; null while no subnet is free. */
  #choose(request: LeaseRequest, candidates: number): Own | null {
    const entries = this.#oldestFirst();
    const records = entries
      .map((entry) => this.#read(entry, request).record)
      .filter((record) => record !== null);
    const taken = entries.flatMap((entry) => {
      const subnets = parseKey(this.#lastPart(entry));
      return [subnets?.subnet ?? null, subnets?.subnet6 ?? null].filter((subnet) => subnet !== null);
    });
    const plan = planLease(request, records, taken, candidates, Math.random);
    const problem = plan === null ? `no subnet of ${request.config.ipv4?.network.text ?? ""} is free` : null;
    if (problem !== null && problem !== this.#poolProblem) this.#log.warn(problem);
    this.#poolProblem = problem;
    return plan === null ? null : { request, claim: this.#claimOf(plan, request), lease: plan.lease };
  }

  #claimOf({ key, value, subnet }: LeasePlan, request: LeaseRequest): Claim {
    return {
      key: this.#subnetsPrefix + key,
      value,
      // `10.5.32.0-24` and `10.5.32.0-24&…` are one IPv4 subnet.
      guard: prefixRange(this.#subnetsPrefix + formatKey({ subnet, subnet6: null })),
      isOurs: (entry) => {
        const { record } = this.#read(entry, request);
        return record !== null && isOwn(record, request);
      },
    };
  }

  /** @param fresh the copy was just listed anew in order to learn what has become of held leases */
  #snapshot({ request, lease }: Own, fresh: boolean): Snapshot {
    const entries = this.#oldestFirst();
    const ownEntry = entries.find((entry) => this.#lastPart(entry) === lease.key);
    const others = entries.filter((entry) => entry !== ownEntry);
    const results = others.map((entry) => this.#read(entry, request).result);
    const { peers: standing, rejected } = makeSnapshot(results, lease, this.#peers);
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
    return { config: this.#config.inForce ?? request.config, peers, rejected, held: held.length };
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
    if (!this.#subnets.listed) return [...this.#remembered];
    return [...this.#subnets.entries.values()].sort((a, b) => a.createRevision - b.createRevision);
  }

  #read(entry: Entry, { config }: LeaseRequest): Reading {
    let reading = this.#readings.get(entry);
    if (reading === undefined) {
      reading = readLease(this.#lastPart(entry), entry.value, config);
      this.#readings.set(entry, reading);
      if (!isRejection(reading.result)) this.#texts.set(reading.result, entry.value);
    }
    return reading;
  }

  #lastPart({ key }: Entry): string {
    return key.slice(this.#subnetsPrefix.length);
  }
}
