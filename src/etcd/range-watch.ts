/**
 * A live copy of a range of etcd's keys: listed at revision R, then watched from R+1.
 *
 * When the stream breaks it is opened again behind the last event that was delivered (not behind the header's
 * revision, which may be ahead of the events). When that is not possible, because the revisions were compacted away or
 * etcd was restored from a backup, the range is listed anew. A restored etcd shows itself by another cluster id, by a
 * revision that went back, or, when it has gone on since, by other keys at the revision that this copy stands at. The
 * copy is only ever replaced by a complete one: losing etcd changes nothing.
 */
import { EventEmitter, once } from "node:events";
import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { MAX_VALUE_BYTES } from "../lease/codec.js";
import { Backoff } from "./backoff.js";
import type { EtcdClient } from "./client.js";
import { EtcdError } from "./connection.js";
import {
  type KeyRange,
  keyText,
  type KeyValue,
  type ResponseHeader,
  singleKey,
  type WatchResponse,
} from "./messages.js";

export interface Entry {
  readonly key: string;
  /** Cut where it is too long to be read. */
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** The etcd lease's id; "0" for none. */
  readonly lease: string;
}

export function toEntry(kv: KeyValue): Entry {
  return {
    key: keyText(kv.key),
    value: kv.value.toString("utf8", 0, MAX_VALUE_BYTES + 1),
    createRevision: Number(kv.create_revision),
    modRevision: Number(kv.mod_revision),
    lease: kv.lease,
  };
}

/** Why a copy cannot be brought up to date by events. */
type Gap = "compacted" | "restored";

/** Emits "change" when `entries` changed, and "list" after every list, before its "change". */
export class RangeWatch extends EventEmitter<{ change: []; list: [] }> {
  readonly #client: EtcdClient;
  readonly #range: KeyRange;
  readonly #log: Logger;
  #entries = new Map<string, Entry>();
  /** Up to where changes are in `#entries`; null when a list is needed. */
  #revision: number | null = null;
  #clusterId = "";
  #listed = false;
  #restores = 0;
  #mustList = false;
  /** Ends the watching so that the range is listed anew. */
  #interrupt = new AbortController();

  constructor(client: EtcdClient, range: KeyRange, log: Logger) {
    super();
    this.#client = client;
    this.#range = range;
    this.#log = log;
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  /** False before the first list: `entries` then say nothing. */
  get listed(): boolean {
    return this.#listed;
  }

  /** 0 before the first list. */
  get revision(): number {
    return this.#revision ?? 0;
  }

  /** How often etcd was found to be restored from a backup. */
  get restores(): number {
    return this.#restores;
  }

  /** Keeps the copy until the signal fires; rejects then with its reason. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    for (;;) {
      this.#interrupt = new AbortController();
      const { signal: interrupt } = this.#interrupt;
      if (this.#mustList) this.#revision = null;
      try {
        const gap = this.#revision === null ? null : await this.#findGap(this.#revision);
        if (gap !== null) this.#noteGap(gap);
        if (this.#revision === null) await this.#list();
        await this.#follow(backoff, AbortSignal.any([signal, interrupt]));
      } catch (error) {
        signal.throwIfAborted();
        if (!interrupt.aborted && !(error instanceof EtcdError)) throw error;
      }
      if (!interrupt.aborted) await backoff.wait(signal);
    }
  }

  /** Lists the range anew and resolves when that is done. Rejects with the signal's reason when it fires. */
  async refresh(signal: AbortSignal): Promise<void> {
    this.#mustList = true;
    this.#interrupt.abort();
    await once(this, "list", { signal }).catch(() => signal.throwIfAborted());
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
    this.#mustList = false;
    this.emit("list");
    this.emit("change");
  }

  /**
   * Whether etcd's past is still the one that this copy was made from: as many keys at its revision, and the newest of
   * them unchanged.
   */
  async #findGap(revision: number): Promise<Gap | null> {
    const known = [...this.#entries.values()].filter(({ modRevision }) => modRevision <= revision);
    const newest = known.reduce<Entry | null>(
      (best, entry) => (best !== null && best.modRevision > entry.modRevision ? best : entry),
      null,
    );
    const past = { revision: String(revision), count_only: false };
    try {
      const { header, responses } = await this.#client.call("KV.Txn", {
        compare: [],
        success: [
          { request_range: { ...this.#range, ...past, count_only: true } },
          ...(newest === null ? [] : [{ request_range: { ...singleKey(newest.key), ...past } }]),
        ],
        failure: [],
      });
      const [all, found] = responses.map(({ response_range }) => response_range);
      const same =
        Number(all?.count) === known.length &&
        (newest === null || Number(found?.kvs[0]?.mod_revision) === newest.modRevision);
      return same && !this.#wentBack(header) ? null : "restored";
    } catch (error) {
      if (!(error instanceof EtcdError) || error.code !== status.OUT_OF_RANGE) throw error;
      return error.details.includes("compacted") ? "compacted" : "restored";
    }
  }

  #noteGap(reason: Gap): void {
    this.#log.warn({ revision: this.revision, reason }, "the watch cannot be resumed, listing anew");
    if (reason === "restored") this.#restores++;
    this.#revision = null;
  }

  /** Returns when a new list is needed; throws when the stream breaks. */
  async #follow(backoff: Backoff, signal: AbortSignal): Promise<void> {
    const create_request = { ...this.#range, start_revision: String(this.revision + 1), fragment: true };
    let events: WatchResponse["events"][number][] = [];
    for await (const response of this.#client.stream("Watch.Watch", { create_request }, signal, null)) {
      const gap =
        response.compact_revision !== "0" ? "compacted" : this.#wentBack(response.header) ? "restored" : null;
      if (gap !== null) {
        this.#noteGap(gap);
        return;
      }
      if (response.canceled) throw this.#client.refusal(`watch: ${response.cancel_reason}`);
      backoff.reset();
      for (const event of response.events) events.push(event);
      if (response.fragment || events.length === 0) continue;
      this.#apply(events);
      events = [];
    }
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
