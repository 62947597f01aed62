/**
 * Tables for the next snapshot: of ten thousand leases usually one has changed, and then the rows of all others are
 * taken over from the tables before. That is done where it is plain that `compileTables` would make the same, which a
 * test holds it to: a few nodes joined, or moved to another address or MAC, and share no address with any other.
 * Whatever else has changed, the tables are compiled anew.
 */
import { isDeepStrictEqual } from "node:util";
import type { Lease } from "../lease/lease.js";
import { addressesOf, type CompileInput, compileTables, type PeerRow, type Tables } from "./compile.js";

/** Tables and what they were made of. */
export interface Compiled {
  readonly input: CompileInput;
  readonly tables: Tables;
}

/** Each costs a walk over all rows; with more of them, compiling is as fast. */
const MOST_CHANGES = 8;

/** What `compileTables` makes of the input. */
export function recompileTables(before: Compiled | null, input: CompileInput): Compiled {
  const tables = before === null ? null : patch(before, input);
  return { input, tables: tables ?? compileTables(input) };
}

/** A lease that is new in its place. */
interface Change {
  /** Null for one more at the end. */
  readonly from: Lease | null;
  readonly to: Lease;
}

function patch({ input: { peers: former, ...same }, tables }: Compiled, input: CompileInput): Tables | null {
  const { peers: leases, ...rest } = input;
  const changes = changesOf(former, leases);
  if (changes === null || input.aliases.length > 0 || !isDeepStrictEqual(same, rest)) return null;
  const patched = {
    ...tables,
    peers: [...tables.peers],
    routes: [...tables.routes],
    nodes: [...tables.nodes],
  };
  const ownAddresses = addressesOf(input);
  for (const { from, to } of changes) {
    if (to.subnets.some(({ via }) => ownAddresses.has(via.address.text))) return null;
    const done = from === null ? join(patched, to) : move(patched, from, to);
    if (!done) return null;
  }
  return patched;
}

/** Null when there are too many, or leases that have gone. */
function changesOf(former: readonly Lease[], leases: readonly Lease[]): Change[] | null {
  const changes: Change[] = [];
  for (const [index, to] of leases.entries()) {
    const from = former[index] ?? null;
    if (from === to) continue;
    if (changes.length === MOST_CHANGES) return null;
    changes.push({ from, to });
  }
  return leases.length < former.length ? null : changes;
}

interface Patched extends Tables {
  readonly peers: PeerRow[];
  readonly routes: Tables["routes"][number][];
  readonly nodes: string[];
}

/** Adds a node behind all others. False when it has an address of theirs. */
function join({ peers, routes, nodes }: Patched, { key, subnets }: Lease): boolean {
  if (subnets.length === 0 || subnets.some(({ via }) => rowOf(peers, via.address.text) !== -1)) return false;
  const node = nodes.push(key) - 1;
  for (const { prefix, via } of subnets) {
    routes.push({ prefix, peer: peers.push({ ...via, node }) - 1 });
  }
  return true;
}

/** Puts a lease's new endpoints in the rows of its old ones. False when it shares one with others. */
function move({ peers, routes }: Patched, from: Lease, to: Lease): boolean {
  const prefixes = ({ subnets }: Lease): string => subnets.map(({ prefix }) => prefix.text).join();
  if (from.key !== to.key || prefixes(from) !== prefixes(to)) return false;
  for (const [index, { via }] of to.subnets.entries()) {
    const address = from.subnets[index]?.via.address.text ?? "";
    const row = rowOf(peers, address);
    const isShared = routes.filter(({ peer }) => peer === row).length !== 1;
    const isTaken = via.address.text !== address && rowOf(peers, via.address.text) !== -1;
    const node = peers[row]?.node;
    if (node === undefined || isShared || isTaken) return false;
    peers[row] = { ...via, node };
  }
  return true;
}

/** -1 when no row has the address. */
function rowOf(peers: readonly PeerRow[], address: string): number {
  return peers.findIndex((row) => row.address.text === address);
}
