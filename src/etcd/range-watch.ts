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
import { Backoff } from "./backoff.js";
import type { EtcdClient } from "./client.js";
import { EtcdError, isTooLarge } from "./connection.js";
import { Entries, type Entry, isWhole, toEntry } from "./entries.js";
import {
  type KeyRange,
  type RangeResponse,
  type ResponseHeader,
  singleKey,
  type WatchResponse,
} from "./messages.js";

/** Of so many keys at most a list is asked for at once; of fewer, where these are large. */
const PAGE = 10_000;

/** Why a copy cannot be brought up to date by events. */
type Gap = "compacted" | "restored";

/** What an event says. */
interface Change {
  readonly type: WatchResponse["events"][number]["type"];
  readonly entry: Entry;
}

/** Emits "change" when `entries` changed, and "list" after every list, before its "change". */
export class RangeWatch extends EventEmitter<{ change: []; list: [] }> {
  readonly #client: EtcdClient;
  readonly #range: KeyRange;
  readonly #log: Logger;
  #entries = new Entries();
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
    return this.#entries.byKey;
  }

  /** How many more keys there are, which are too many to be kept. */
  get others(): number {
    return this.#entries.others;
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
    this.#relist();
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
      const result = this.#listed ? read(this.entries) : null;
      if (result !== null) return result;
      await this.changed(signal);
    }
  }

  /** Enters what an answer told, unless the watch is past it already: ahead of the event that will tell the same. */
  enter(entry: Entry): void {
    if (entry.modRevision > this.revision) this.#entries.enter(entry);
  }

  async #list(): Promise<void> {
    const entries = new Entries();
    const first = await this.#page(this.#range.key, "0", entries);
    for (let page = first; page.more;) {
      const last = page.kvs.at(-1)?.key ?? Buffer.alloc(0);
      page = await this.#page(Buffer.concat([last, Buffer.alloc(1)]), first.header.revision, entries);
    }
    entries.prune();
    this.#entries = entries;
    this.#revision = Number(first.header.revision);
    this.#clusterId = first.header.cluster_id;
    this.#listed = true;
    this.#mustList = false;
    this.emit("list");
    this.emit("change");
  }

  /** Reads keys from `key` on, as many as an answer takes, and adds them; "0" for the newest revision. */
  async #page(key: Buffer, revision: string, entries: Entries): Promise<RangeResponse> {
    for (let limit = PAGE; ; limit = Math.ceil(limit / 4)) {
      try {
        const range = { key, range_end: this.#range.range_end, revision, limit: String(limit) };
        const page = await this.#client.call("KV.Range", range);
        for (const kv of page.kvs) entries.add(toEntry(kv));
        return page;
      } catch (error) {
        if (!isTooLarge(error) || limit === 1) throw error;
      }
    }
  }

  /**
   * Whether etcd's past is still the one that this copy was made from: as many keys at its revision, and the newest of
   * them unchanged.
   */
  async #findGap(revision: number): Promise<Gap | null> {
    const known = [...this.entries.values()].filter(({ modRevision }) => modRevision <= revision);
    const newest = known
      .filter(isWhole)
      .reduce<Entry | null>(
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
        Number(all?.count) === known.length + this.others &&
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
    let changes: Change[] = [];
    for await (const response of this.#client.stream("Watch.Watch", { create_request }, signal, null)) {
      const gap =
        response.compact_revision !== "0" ? "compacted" : this.#wentBack(response.header) ? "restored" : null;
      if (gap !== null) {
        this.#noteGap(gap);
        return;
      }
      if (response.canceled) throw this.#client.refusal(`watch: ${response.cancel_reason}`);
      backoff.reset();
      for (const { type, kv } of response.events) changes.push({ type, entry: toEntry(kv) });
      if (response.fragment || changes.length === 0) continue;
      this.#apply(changes);
      changes = [];
    }
  }

  #wentBack(header: ResponseHeader): boolean {
    return header.cluster_id !== this.#clusterId || Number(header.revision) < this.revision;
  }

  #apply(changes: readonly Change[]): void {
    let hasRoom = false;
    for (const { type, entry } of changes) {
      this.#revision = entry.modRevision;
      if ((this.entries.get(entry.key)?.modRevision ?? 0) > entry.modRevision) continue;
      if (type === "PUT") this.#entries.put(entry);
      else if (this.#entries.delete(entry.key)) hasRoom = true;
    }
    this.emit("change");
    if (hasRoom) this.#relist();
  }

  #relist(): void {
    this.#mustList = true;
    this.#interrupt.abort();
  }
}
