/**
 * Entries of etcd as a live copy keeps them, however many, long and large they are there: what is too long to be a lease
 * is cut, and of more keys than any network has the oldest are kept and the others only counted.
 */
import { createHash } from "node:crypto";
import { MAX_VALUE_BYTES } from "../lease/codec.js";
import { MAX_LEASES } from "../lease/policy.js";
import { keyText, type KeyValue } from "./messages.js";

/** Room for junk beside as many leases as are used at most. */
export const MOST_ENTRIES = 2 * MAX_LEASES;
/** Of a longer key its beginning and a digest are kept. flannel's are below 100 bytes, prefix and all. */
const MAX_KEY_BYTES = 1024;
/** In no key that is whole, since those have one character for each byte. */
const CUT = "…";
/** Stands for every value that is too long to be read. */
const TOO_LONG = " ".repeat(MAX_VALUE_BYTES + 1);

export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** The etcd lease's id; "0" for none. */
  readonly lease: string;
}

export function toEntry(kv: KeyValue): Entry {
  return {
    key: kv.key.length > MAX_KEY_BYTES ? cut(kv.key) : keyText(kv.key),
    value: kv.value.length > MAX_VALUE_BYTES ? TOO_LONG : kv.value.toString(),
    createRevision: Number(kv.create_revision),
    modRevision: Number(kv.mod_revision),
    lease: kv.lease,
  };
}

/** False for one of which only a part is known. */
export function isWhole({ key }: Entry): boolean {
  return !key.includes(CUT);
}

function cut(key: Buffer): string {
  return `${keyText(key.subarray(0, MAX_KEY_BYTES))}${CUT}${createHash("sha256").update(key).digest("hex")}`;
}

export class Entries {
  #byKey = new Map<string, Entry>();
  #others = 0;

  get byKey(): ReadonlyMap<string, Entry> {
    return this.#byKey;
  }

  /** How many keys there are that are not kept. */
  get others(): number {
    return this.#others;
  }

  /** Takes one of a list. */
  add(entry: Entry): void {
    this.#byKey.set(entry.key, entry);
    // Now and then while many are added, so that there are never many more.
    if (this.#byKey.size === 2 * MOST_ENTRIES) this.prune();
  }

  /** Keeps the oldest: to be called at the end of a list. */
  prune(): void {
    const excess = this.#byKey.size - MOST_ENTRIES;
    if (excess <= 0) return;
    const oldestFirst = [...this.#byKey.values()].sort((a, b) => a.createRevision - b.createRevision);
    this.#byKey = new Map(oldestFirst.slice(0, MOST_ENTRIES).map((entry) => [entry.key, entry]));
    this.#others += excess;
  }

  /** Takes what an event says stands under a key. */
  put(entry: Entry): void {
    const isNew = entry.createRevision === entry.modRevision;
    if (this.#byKey.has(entry.key) || (isNew && this.#byKey.size < MOST_ENTRIES)) {
      this.#byKey.set(entry.key, entry);
    } else if (isNew) {
      this.#others++;
    }
  }

  /** Takes what this node has written itself. */
  enter(entry: Entry): void {
    this.#byKey.set(entry.key, entry);
  }

  /** Forgets a key that an event says is gone. True when there is room now for those that are not kept. */
  delete(key: string): boolean {
    if (!this.#byKey.delete(key)) this.#others--;
    return this.#others > 0 && this.#byKey.size < MOST_ENTRIES / 2;
  }
}
