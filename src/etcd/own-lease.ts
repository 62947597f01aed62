/**
 * This node's lease in etcd: claimed, kept alive, and put back when it is lost.
 *
 * The key hangs on an etcd lease of 24 h, renewed by KeepAlive, which other nodes do not see. The range watch tells
 * when the key is deleted or overwritten: what is still this node's is put back, for the same subnet and never over
 * another's; what another node holds is left alone and reported. A key without an etcd lease is an operator's
 * reservation and stays one.
 *
 * Leases end by the time that passes, also while this host is suspended: their clock is CLOCK_BOOTTIME, looked at twice
 * a second.
 */
import { randomBytes } from "node:crypto";
import { uptime } from "node:os";
import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { Backoff, pause } from "./backoff.js";
import { type EtcdClient, isAnswer, retry } from "./client.js";
import { CALL_MS, EtcdError } from "./connection.js";
import { type Compare, keyBytes, type KeyRange, prefixRange, singleKey } from "./messages.js";
import { type Entry, toEntry } from "./entries.js";
import type { RangeWatch } from "./range-watch.js";

const TTL_SECONDS = 86_400;
const TICK_MS = 500;
/** When a tick takes this long, in seconds, the process or the host was asleep. */
const SLEPT_SECONDS = 10;
const NO_LEASE = "0";

/** What this node wants to stand in etcd. */
export interface Claim {
  readonly key: string;
  readonly value: string;
  /** The key of the IPv4 subnet alone. Neither it nor one with an IPv6 subnet may stand when the key is created. */
  readonly subnetKey: string;
  /** Whether an entry under the key may be replaced by this node at any time. */
  readonly isOurs: (entry: Entry) => boolean;
  /** The mod revision of another entry that may be replaced, since it was taken for this node's; null for none. */
  readonly basis: number | null;
}

export class OwnLease {
  readonly #client: EtcdClient;
  readonly #watch: RangeWatch;
  readonly #renewMarginSeconds: number;
  readonly #log: Logger;
  readonly #clock: () => number;
  /** The etcd lease; null when there is none yet or it is lost. */
  #leaseId: string | null = null;
  /** The id that the next etcd lease is asked for under: a request that is sent twice grants one lease. */
  #nextId = newLeaseId();
  #ttlSeconds = TTL_SECONDS;
  #renewedAt: number;
  /** When the next renewal is due. */
  #dueAt: number;
  #conflict: string | null = null;
  #overdue = false;

  /**
   * @param renewMarginSeconds the lease is renewed this long before its end at the latest
   * @param clock seconds that pass while the host is suspended, too
   */
  constructor(
    client: EtcdClient,
    watch: RangeWatch,
    renewMarginSeconds: number,
    log: Logger,
    clock: () => number = uptime,
  ) {
    this.#client = client;
    this.#watch = watch;
    this.#renewMarginSeconds = renewMarginSeconds;
    this.#log = log;
    this.#clock = clock;
    this.#renewedAt = clock();
    this.#dueAt = clock();
  }

  /** True when another node holds the subnet. */
  get lost(): boolean {
    return this.#conflict !== null;
  }

  /** What is wrong with the lease, a sentence; null when nothing is. */
  get problem(): string | null {
    return (
      this.#conflict ?? (this.#overdue ? "half of this node's lease has passed without a renewal" : null)
    );
  }

  /** Seconds until the lease ends without renewal; null when it has no end. */
  ttlSeconds(): number | null {
    if (this.#leaseId === NO_LEASE) return null;
    return Math.max(0, this.#ttlSeconds - (this.#clock() - this.#renewedAt));
  }

  /**
   * One try to create the key, or to take over the entry that the watch shows under it. False when another node was
   * faster; the watch's entries then show it. Rejects with an EtcdError.
   */
  async claim(claim: Claim): Promise<boolean> {
    const { key, value } = claim;
    const held = this.#watch.entries.get(key);
    if (held !== undefined && held.modRevision !== claim.basis && !claim.isOurs(held)) return false;
    const lease = held?.lease ?? (await this.#leaseForNewKey());
    if (held?.value === value) {
      this.#leaseId = lease;
      return true;
    }
    const guards = guardsOf(claim);
    const compare: Compare[] =
      held === undefined
        ? guards.map((range) => ({ ...range, target: "CREATE", create_revision: "0" }))
        : [{ ...singleKey(key), target: "MOD", mod_revision: String(held.modRevision) }];
    const put = { key: keyBytes(key), value: Buffer.from(value), lease };
    const answer = await this.#client
      .call("KV.Txn", {
        compare,
        success: [{ request_put: put }],
        // A few are enough to see who was faster.
        failure: guards.map((range) => ({ request_range: { ...range, limit: "5" } })),
      })
      .catch((error: unknown) => {
        if (error instanceof EtcdError && error.code === status.NOT_FOUND) this.#leaseId = null;
        throw error;
      });
    const revision = Number(answer.header.revision);
    const found = answer.succeeded
      ? [{ key, value, lease, createRevision: held?.createRevision ?? revision, modRevision: revision }]
      : answer.responses.flatMap(({ response_range }) => response_range?.kvs ?? []).map(toEntry);
    for (const entry of found) this.#watch.enter(entry);
    // A transaction whose answer was lost and that was sent again finds what it wrote itself.
    const won = found.some((entry) => entry.key === key && entry.lease === lease && entry.value === value);
    if (won) this.#leaseId = lease;
    return won;
  }

  /** Renews the lease and guards the key until the signal fires; rejects then with its reason. */
  async keep(claim: Claim, signal: AbortSignal): Promise<void> {
    await Promise.all([this.#renew(signal), this.#guard(claim, signal)]);
  }

  /**
   * Gives the etcd lease back, and with it the key; not to be called while `keep` runs. Resolves with what there was to
   * give back: a reservation stays. Rejects with an EtcdError; the lease then ends by itself.
   */
  async giveUp(): Promise<"lease" | "reservation" | "nothing"> {
    const ID = this.#leaseId;
    if (ID === NO_LEASE) return "reservation";
    if (ID === null) return "nothing";
    await this.#client.call("Lease.LeaseRevoke", { ID }).catch((error: unknown) => {
      if (!(error instanceof EtcdError && isAnswer(error))) throw error;
    });
    this.#leaseId = null;
    return "lease";
  }

  /** The lease at hand, else a new one: what weft creates always has an end. */
  async #leaseForNewKey(): Promise<string> {
    if (this.#leaseId !== null && this.#leaseId !== NO_LEASE) return this.#leaseId;
    const ID = this.#nextId;
    await this.#client.call("Lease.LeaseGrant", { ID, TTL: String(TTL_SECONDS) }).catch((error: unknown) => {
      if (!(error instanceof EtcdError && isAnswer(error))) throw error;
    });
    this.#nextId = newLeaseId();
    this.#noteRenewal(TTL_SECONDS);
    this.#leaseId = ID;
    return ID;
  }

  #noteRenewal(ttlSeconds: number): void {
    this.#ttlSeconds = ttlSeconds;
    this.#renewedAt = this.#clock();
    const latest = Math.min(ttlSeconds / 3, ttlSeconds - this.#renewMarginSeconds);
    this.#dueAt = this.#renewedAt + Math.max(latest, 1) * (0.9 + Math.random() / 10);
    if (this.#overdue) this.#log.info("own lease is renewed again");
    this.#overdue = false;
  }

  async #renew(signal: AbortSignal): Promise<void> {
    for (;;) {
      const before = this.#clock();
      await pause(TICK_MS, signal);
      const slept = this.#clock() - before;
      if (slept > SLEPT_SECONDS) {
        // The other end, or what lies between, may have forgotten the connection; the lease may be over.
        this.#log.info("connecting to etcd anew after a sleep");
        this.#client.reconnect();
        this.#dueAt = before;
      }
      if (this.#clock() >= this.#dueAt) await retry(() => this.#renewOnce(signal), signal);
    }
  }

  async #renewOnce(signal: AbortSignal): Promise<void> {
    const ID = this.#leaseId;
    if (ID === null || ID === NO_LEASE) return;
    this.#judgeTerm();
    for await (const { TTL } of this.#client.stream("Lease.LeaseKeepAlive", { ID }, signal, CALL_MS)) {
      if (Number(TTL) > 0) this.#noteRenewal(Number(TTL));
      // The key went with the lease, which the watch tells: the guard puts it back on a new one.
      else if (this.#leaseId === ID) this.#leaseId = null;
      return;
    }
  }

  async #guard(claim: Claim, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    for (;;) {
      const entry = this.#watch.entries.get(claim.key);
      const right = entry !== undefined && entry.lease === this.#leaseId && entry.value === claim.value;
      const foreign = entry === undefined ? this.#isTaken(claim) : !claim.isOurs(entry);
      if (right || foreign) {
        this.#judge(claim, right);
        backoff.reset();
        await this.#watch.changed(signal);
        continue;
      }
      const won = await retry(() => this.claim(claim), signal);
      if (won) this.#log.warn({ key: claim.key }, "own lease was lost and is put back");
      this.#judge(claim, won);
      if (!won) await backoff.wait(signal);
    }
  }

  /** The subnet is part of another key. */
  #isTaken({ subnetKey }: Claim): boolean {
    const keys = [...this.#watch.entries.keys()];
    return keys.some((key) => key === subnetKey || key.startsWith(`${subnetKey}&`));
  }

  #judge({ key }: Claim, ours: boolean): void {
    if (ours === (this.#conflict === null)) return;
    this.#conflict = ours ? null : `another node holds this node's subnet: ${key}`;
    if (ours) this.#log.info({ key }, "own lease is this node's again");
    else this.#log.error({ key }, "another node took this node's subnet");
  }

  /** Renewals that fail for so long are worth an alarm. */
  #judgeTerm(): void {
    if (this.#overdue || this.#clock() - this.#renewedAt < this.#ttlSeconds / 2) return;
    this.#overdue = true;
    this.#log.error({ reason: "overdue" }, "half of the own lease has passed without a renewal");
  }
}

/** `10.5.32.0-24` and `10.5.32.0-24&…` are one IPv4 subnet. */
function guardsOf({ subnetKey }: Claim): readonly KeyRange[] {
  return [singleKey(subnetKey), prefixRange(`${subnetKey}&`)];
}

/** A random positive 64-bit integer, as a decimal string. */
function newLeaseId(): string {
  return String((randomBytes(8).readBigUInt64BE() >> 1n) | 1n);
}
