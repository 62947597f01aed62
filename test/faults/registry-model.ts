/**
 * What is true of a node's routes, whatever happens between it and etcd: the model that a random schedule of faults and
 * writes is checked by. It is told what is written and what the node makes of it, and remembers what went wrong.
 *
 * - A lease in use says what etcd said of its key at some time.
 * - A key goes only as often as it was deleted: nothing is lost that etcd did not withdraw.
 * - At rest the routes are what etcd says, and nothing else.
 */
import type { Snapshot } from "../../src/lease/registry.js";

export class RegistryModel {
  readonly problems: string[] = [];
  /** What stands in etcd: the public address by the key's last part. */
  #standing = new Map<string, string>();
  readonly #everSaid = new Map<string, Set<string>>();
  readonly #deletions = new Map<string, number>();
  readonly #losses = new Map<string, number>();
  #inUse = new Map<string, string>();

  get keys(): readonly string[] {
    return [...this.#standing.keys()];
  }

  put(key: string, address: string): void {
    this.#standing.set(key, address);
    const said = this.#everSaid.get(key) ?? new Set();
    this.#everSaid.set(key, said.add(address));
  }

  delete(key: string): void {
    if (this.#standing.delete(key)) count(this.#deletions, key);
  }

  /** A backup of etcd; to be given to `restore`. */
  backup(): ReadonlyMap<string, string> {
    return new Map(this.#standing);
  }

  /** etcd is as it was: what came since is withdrawn. */
  restore(backup: ReadonlyMap<string, string>): void {
    for (const key of this.#standing.keys()) if (!backup.has(key)) count(this.#deletions, key);
    this.#standing = new Map(backup);
  }

  /** What the node has now. */
  see({ peers }: Snapshot): void {
    const seen = new Map(peers.map(({ key, subnets }) => [key, subnets[0]?.via.address.text ?? ""]));
    for (const [key, address] of seen) {
      if (this.#everSaid.get(key)?.has(address) !== true) {
        this.problems.push(`${key} via ${address}, which etcd never said`);
      }
      // One of a mass of leases that went one by one: it is back in order to be held, and goes without a second deletion.
      if (!this.#inUse.has(key) && !this.#standing.has(key)) {
        this.#losses.set(key, Math.max(0, (this.#losses.get(key) ?? 0) - 1));
      }
    }
    for (const key of this.#inUse.keys()) {
      if (seen.has(key)) continue;
      count(this.#losses, key);
      const [lost, deleted] = [this.#losses.get(key) ?? 0, this.#deletions.get(key) ?? 0];
      if (lost > deleted) this.problems.push(`${key} was lost ${lost} times and deleted ${deleted} times`);
    }
    this.#inUse = seen;
  }

  /** The routes are what etcd says. */
  get atRest(): boolean {
    const entries = [...this.#standing];
    return (
      this.#inUse.size === entries.length &&
      entries.every(([key, address]) => this.#inUse.get(key) === address)
    );
  }

  /** How the two differ, for people. */
  describe(): string {
    const text = (map: ReadonlyMap<string, string>): string => JSON.stringify([...map].sort());
    return `in use ${text(this.#inUse)}\nin etcd ${text(this.#standing)}`;
  }
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
