/**
 * A live copy of a range of etcd's keys: listed at revision R, then watched from R+1.
 *
 * When the stream breaks it is opened again behind the last event that was delivered (not behind the header's
 * revision, which may be ahead of the events). When that is not possible, because the revisions were compacted away or
 * etcd was restored from a backup (another cluster id, a revision that went back), the range is listed anew. The copy
 * is only ever replaced by a complete one: losing etcd changes nothing.
 */
import { EventEmitter, once } from "node:events";
import type { Logger } from "pino";
import { Backoff } from "./backoff.js";
import type { EtcdClient } from "./client.js";
import { EtcdError } from "./connection.js";
import type { KeyRange, KeyValue, ResponseHeader, WatchResponse } from "./messages.js";

export interface Entry {
  readonly key: string;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  /** The etcd lease's id; "0" for none. */
  readonly lease: string;
}

export function toEntry(kv: KeyValue): Entry {
  return {
    key: kv.key.toString(),
    value: kv.value,
    createRevision: Number(kv.create_revision),
    modRevision: Number(kv.mod_revision),
    lease: kv.lease,
  };
}

/** Emits "change" when `entries` changed, after the first list too. */
export class RangeWatch extends EventEmitter<{ change: [] }> {
  readonly #client: EtcdClient;
  readonly #range: KeyRange;
  readonly #log: Logger;
  #entries = new Map<string, Entry>();
  /** Up to where changes are in `#entries`; null when a list is needed. */
  #revision: number | null = null;
  #clusterId = "";
  #listed = false;

  constructor(client: EtcdClient, range: KeyRange, log: Logger) {
    super();
    this.#client = client;
    this.#range = range;
    this.#log = log;
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  /** 0 before the first list. */
  get revision(): number {
    return this.#revision ?? 0;
  }

  /** Keeps the copy until the signal fires; rejects then with its reason. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    for (;;) {
      try {
        if (this.#revision === null) await this.#list();
        await this.#follow(backoff, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof EtcdError)) throw error;
      }
      await backoff.wait(signal);
    }
  }

  /** Resolves after the next change. Rejects with the signal's reason when it fires. */
  async changed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await once(this, "change", { signal }).catch(() => signal.throwIfAborted());
  }

  /**
   * Resolves with what `read` makes of the entries, now or after a later change: as soon as it is not null. Rejects
   * with the signal's reason when it fires.
   */
  async until<T>(read: (entries: ReadonlyMap<string, Entry>) => T | null, signal: AbortSignal): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      const result = this.#listed ? read(this.#entries) : null;
      if (result !== null) return result;
      await this.changed(signal);
    }
  }

  /** Enters what an answer told, unless the watch is past it already: ahead of the event that will tell the same. */
  enter(entry: Entry): void {
    if (entry.modRevision > this.revision) this.#entries.set(entry.key, entry);
  }

  async #list(): Promise<void> {
    const { header, kvs } = await this.#client.call("KV.Range", this.#range);
    this.#entries = new Map(kvs.map(toEntry).map((entry) => [entry.key, entry]));
    this.#revision = Number(header.revision);
    this.#clusterId = header.cluster_id;
    this.#listed = true;
    this.emit("change");
  }

  /** Returns when a new list is needed; throws when the stream breaks. */
  async #follow(backoff: Backoff, signal: AbortSignal): Promise<void> {
    const create_request = { ...this.#range, start_revision: String(this.revision + 1), fragment: true };
    let events: WatchResponse["events"] = [];
    for await (const response of this.#client.stream("Watch.Watch", { create_request }, signal, null)) {
      const reason = this.#reasonToList(response);
      if (reason !== null) {
        this.#log.warn({ revision: this.revision, reason }, "the watch cannot be resumed, listing anew");
        this.#revision = null;
        return;
      }
      if (response.canceled) throw this.#client.refusal(`watch: ${response.cancel_reason}`);
      backoff.reset();
      events = [...events, ...response.events];
      if (response.fragment || events.length === 0) continue;
      this.#apply(events);
      events = [];
    }
  }

  #reasonToList({ header, compact_revision }: WatchResponse): string | null {
    if (compact_revision !== "0") return "compacted";
    return this.#wentBack(header) ? "restored" : null;
  }

  #wentBack(header: ResponseHeader): boolean {
    return header.cluster_id !== this.#clusterId || Number(header.revision) < this.revision;
  }

  #apply(events: WatchResponse["events"]): void {
    for (const { type, kv } of events) {
      const entry = toEntry(kv);
      this.#revision = entry.modRevision;
      if ((this.#entries.get(entry.key)?.modRevision ?? 0) > entry.modRevision) continue;
      if (type === "PUT") this.#entries.set(entry.key, entry);
      else this.#entries.delete(entry.key);
    }
    this.emit("change");
  }
}
