/**
 * Token buckets in whole thousandths of a token, as the kernel's ICMP limits (net/ipv4/icmp.c) are counted in
 * jiffies: a bucket starts full and refills evenly.
 */
import { type Bytes } from "./bytes.js";

export class Bucket {
  #level: number;
  #updatedMs = 0;

  constructor(
    private readonly capacity: number,
    private readonly perSecond: number,
  ) {
    this.#level = capacity * 1000;
  }

  /** Takes a token; false when there is none. */
  take(nowMs: number): boolean {
    this.#level = Math.min(this.capacity * 1000, this.#level + (nowMs - this.#updatedMs) * this.perSecond);
    this.#updatedMs = nowMs;
    if (this.#level < 1000) return false;
    this.#level -= 1000;
    return true;
  }
}

/** Errors sent: in total 1000 a second after a burst of 50, to one target one a second after a burst of 6. */
export class IcmpLimits {
  readonly #total = new Bucket(50, 1000);
  readonly #targets = new Map<number, Bucket>();

  /** Packet-too-big errors are not limited per target: path MTU discovery depends on each. */
  allow(target: Bytes, tooBig: boolean, nowMs: number): boolean {
    return (tooBig || this.#bucketOf(target).take(nowMs)) && this.#total.take(nowMs);
  }

  /** Targets share 256 buckets by a hash (FNV-1a, folded): the one thing here that follows core/icmp.c, not a rule. */
  #bucketOf(target: Bytes): Bucket {
    let hash = 0;
    for (const value of target) hash = Math.imul(hash ^ value, 0x01000193) >>> 0;
    const slot = ((hash ^ (hash >>> 16)) >>> 0) % 256;
    const bucket = this.#targets.get(slot) ?? new Bucket(6, 1);
    this.#targets.set(slot, bucket);
    return bucket;
  }
}
