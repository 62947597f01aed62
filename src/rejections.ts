/** Leases of the registry that cannot be used: which, how often by reason, and a line in the log for each new one. */
import type { Rejection, RejectionReason } from "./lease/lease.js";
import type { Log } from "./observe/log.js";

/** So many rejected leases of one change get a line in the log. */
const MOST_LINES = 20;

export class Rejections {
  current: readonly Rejection[] = [];
  /** How often a key came to be rejected, by reason, since the start. */
  readonly counts = new Map<RejectionReason, number>();

  constructor(private readonly log: Log) {}

  /** Takes over what a snapshot rejects: one line for each key that is newly not used, but not for each of thousands. */
  note(rejected: readonly Rejection[]): void {
    // Most are the very same as before, of which a hostile registry may have many.
    const same = new Set(this.current);
    const others = rejected.filter((each) => !same.has(each));
    const textOf = ({ key, message }: Rejection): string => `${key} ${message}`;
    const known = new Set(others.length === 0 ? [] : this.current.map(textOf));
    const unknown = others.filter((each) => !known.has(textOf(each)));
    for (const { key, reason, message } of unknown.slice(0, MOST_LINES)) {
      this.log.warn({ component: "registry", peer: key, reason }, `lease not used: ${message}`);
    }
    if (unknown.length > MOST_LINES) {
      this.log.warn({ component: "registry", count: unknown.length - MOST_LINES }, "more leases not used");
    }
    for (const { reason } of unknown) this.counts.set(reason, (this.counts.get(reason) ?? 0) + 1);
    this.current = rejected;
  }
}
