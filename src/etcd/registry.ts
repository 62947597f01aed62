/**
 * The registry over etcd, in flannel's notation and beside flannel nodes.
 *
 * Two live copies are kept from `networkConfig` on: of `<prefix>/config` (`config-watch.ts`) and of `<prefix>/subnets/`
 * (`leases.ts`). The subnet is chosen from the second (`choice.ts`) and claimed by a transaction (`own-lease.ts`); who loses sees the
 * winner in the copy and chooses again. Snapshots are made from the same copy (`picture.ts`), at most one per 50 ms.
 *
 * What was in use last is remembered in a file. When etcd does not answer at the start, its leases stand in for the
 * copy until the first list; nothing else differs.
 */
import type { Logger } from "pino";
import { WeftError } from "../config/errors.js";
import { type NetworkConfig, parseNetworkConfig } from "../config/network-config.js";
import type { EtcdOptions } from "../config/options.js";
import { FIRST_CANDIDATES } from "../lease/allocator.js";
import type { Lease } from "../lease/lease.js";
import type { Memory } from "../lease/memory.js";
import { olderHolder } from "../lease/policy.js";
import type { LeaseRequest, Registry, RegistryStatus, Snapshot } from "../lease/registry.js";
import { Backoff, pause } from "./backoff.js";
import { Choice, type Own } from "./choice.js";
import { EtcdClient, retry } from "./client.js";
import { ConfigWatch } from "./config-watch.js";
import type { EtcdError } from "./connection.js";
import { Leases } from "./leases.js";
import { MemoryFile } from "./memory-file.js";
import { keyText } from "./messages.js";
import { type Claim, OwnLease } from "./own-lease.js";
import { paced } from "./paced.js";
import { Picture } from "./picture.js";

const GATHER_MS = 50;
/** After a lost race the choice is among all: nodes that start together then rarely meet again. */
const ALL_CANDIDATES = Number.MAX_SAFE_INTEGER;

const STALE = "stale: etcd has not answered yet, routes are those of the last run";

export class EtcdRegistry implements Registry {
  readonly #log: Logger;
  readonly #client: EtcdClient;
  readonly #options: EtcdOptions;
  readonly #config: ConfigWatch;
  readonly #leases: Leases;
  readonly #choice: Choice;
  readonly #picture: Picture;
  readonly #ownLease: OwnLease;
  readonly #closing = new AbortController();
  readonly #tasks: Promise<void>[] = [];
  readonly #memory: MemoryFile | null;
  #own: Own | null = null;
  #keeping = { stop: new AbortController(), ended: Promise.resolve() };
  #releasing = false;

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
    const prefix = keyText(Buffer.from(options.prefix));
    this.#config = new ConfigWatch(this.#client, `${prefix}/config`, this.#log);
    this.#leases = new Leases(this.#client, prefix, this.#log);
    this.#choice = new Choice(this.#leases, this.#log);
    this.#picture = new Picture(this.#leases, options.withdrawalHoldMs, this.#log);
    this.#memory = memoryPath === null ? null : new MemoryFile(memoryPath, this.#log);
    this.#ownLease = new OwnLease(this.#client, this.#leases.watch, renewMarginMinutes * 60, this.#log);
  }

  async networkConfig(signal: AbortSignal): Promise<NetworkConfig> {
    const { signal: closing } = this.#closing;
    const memory = this.#recall();
    if (memory !== null) this.#leases.remember([memory.own, ...memory.peers]);
    this.#background(this.#config.run(closing));
    this.#background(this.#leases.watch.run(closing));
    const onChange = (): void => void this.#leases.watch.emit("change");
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
    if (this.#client.connected || this.#leases.watch.listed) return null;
    const own = this.#choice.remembered(request);
    if (own !== null) {
      this.#log.warn({ key: own.claim.key }, "etcd does not answer: starting with what the last run had");
    }
    return own;
  }

  /** Chooses a subnet and claims it, until one is won. */
  async #take(request: LeaseRequest, stop: AbortSignal): Promise<Own> {
    const backoff = new Backoff();
    let candidates = FIRST_CANDIDATES;
    try {
      for (;;) {
        const own = await this.#leases.watch.until(
          () => this.#choice.make(request, this.#config.inForce ?? request.config, candidates),
          stop,
        );
        const won = await retry(() => this.#ownLease.claim(own.claim), stop);
        if (won && !(await this.#wasLate(own, stop))) {
          this.#choice.end();
          return own;
        }
        candidates = ALL_CANDIDATES;
        await backoff.wait(stop);
      }
    } catch (error) {
      await this.#ownLease.giveUp().catch(() => undefined);
      throw error;
    }
  }

  /**
   * Whether a node of another key took the IPv6 subnet at the same time, which no transaction can rule out, and was
   * faster; the lease is then given back.
   */
  async #wasLate({ isNew, lease, claim, request }: Own, stop: AbortSignal): Promise<boolean> {
    if (!isNew || lease.subnets.length === 1) return false;
    const { watch } = this.#leases;
    const own = watch.entries.get(claim.key);
    // What is older has been delivered when this node's own key was.
    await watch.until(() => watch.revision >= (own?.modRevision ?? 0) || null, stop);
    const older = this.#leases
      .oldestFirst()
      .filter(({ createRevision }) => createRevision < (own?.createRevision ?? 0));
    const holder = olderHolder(
      older.map((entry) => this.#leases.read(entry, request.config)),
      lease,
    );
    if (holder === null) return false;
    await retry(() => this.#ownLease.giveUp(), stop);
    await watch.until((entries) => !entries.has(claim.key) || null, stop);
    return true;
  }

  async watch(onSnapshot: (snapshot: Snapshot) => void, signal: AbortSignal): Promise<void> {
    const own = this.#own;
    if (own === null) throw new Error("watch is called after acquire");
    const stop = this.#orClosing(signal);
    const { watch } = this.#leases;
    if (!this.#isStale()) await watch.until(() => true, stop);
    const deliver = (fresh: boolean): void => {
      if (stop.aborted) return;
      const picture = this.#picture.take(own.lease, this.#config.inForce ?? own.request.config, fresh);
      onSnapshot({ ...picture, stale: this.#isStale() });
      if (watch.listed) this.#memory?.write(() => this.#remember(own));
      if (this.#picture.dueAt === null || this.#releasing) return;
      this.#releasing = true;
      this.#background(this.#release(deliver));
    };
    deliver(false);
    watch.on(
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
          this.#choice.problem,
          this.#picture.problem,
          this.#memory?.problem ?? null,
        ]
          .filter((each) => each !== null)
          .join("; ") || null,
      failed: this.#choice.problem !== null || this.#ownLease.lost || this.#picture.contested,
      // While a stream is open, pings vouch for etcd even when nothing changes.
      lastContactSeconds: lastContact === null ? null : silentMs / 1000,
      revision: this.#leases.watch.revision,
      leaseTtlSeconds: this.#own === null ? null : this.#ownLease.ttlSeconds(),
      restores: this.#leases.watch.restores,
      certificateSeconds: this.#client.certificateSeconds,
    };
  }

  async leave(): Promise<string> {
    const own = this.#own;
    if (own === null) throw new WeftError("this node has no subnet yet: there is nothing to give back");
    if (!this.#leases.watch.listed) {
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
    return this.#own !== null && !this.#leases.watch.listed;
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
    const peers = this.#picture.peers.map((peer) => {
      return { key: peer.key, value: this.#leases.textOf(peer) };
    });
    const own = { key: lease.key, value: claim.value };
    return { prefix, endpoints: [...endpoints], config: this.#config.text, own, peers };
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
    await this.#leases.watch.until(() => true, signal);
    const standing = this.#leases.watch.entries.get(claim.key);
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

  /** Looks at etcd afresh when a hold ends, until none is left. Jitter keeps the nodes of a network apart. */
  async #release(deliver: (fresh: boolean) => void): Promise<void> {
    const { signal } = this.#closing;
    for (let dueAt; (dueAt = this.#picture.dueAt) !== null;) {
      await pause(Math.max(0, dueAt - performance.now()) * (1 + Math.random() / 10), signal);
      if (performance.now() < dueAt) continue;
      await this.#leases.watch.refresh(signal);
      deliver(true);
    }
    this.#releasing = false;
  }
}
