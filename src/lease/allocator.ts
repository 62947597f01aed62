/**
 * Which subnet a node takes when it has none: flannel's order. The subnet of the previous run if it is free, else one
 * of the first free ones at random. Pure: the caller says what is taken and supplies chance.
 */
import type { Pool } from "../config/network-config.js";
import { type Cidr, cidr, network } from "../net/cidr.js";
import { ipBits, ipFromBigInt, ipToBigInt } from "../net/ip.js";
import { fitsPool } from "./policy.js";

/** flannel picks among this many; few enough to keep the pool compact. */
export const FIRST_CANDIDATES = 100;

/** Subnets of a pool, counted in subnets from the pool's network. */
interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/**
 * Chooses a subnet of the pool that overlaps none of `taken`; null when there is none.
 *
 * @param taken prefixes of any family, length and order
 * @param preferred the first of these that is free is taken; null for none
 * @param candidates how many free subnets, from the lowest, to choose among
 * @param random a number from 0 up to, not including, 1
 */
export function chooseSubnet(
  pool: Pool,
  taken: readonly Cidr[],
  preferred: readonly (Cidr | null)[],
  candidates: number,
  random: () => number,
): Cidr | null {
  const free = freeRanges(pool, taken);
  for (const wish of preferred) {
    if (wish === null || !fitsPool(wish, pool)) continue;
    const index = indexOf(pool, ipToBigInt(wish.ip));
    if (free.some((range) => range.first <= index && index <= range.last)) return wish;
  }
  const total = free.reduce((sum, range) => sum + range.last - range.first + 1n, 0n);
  const choices = total < BigInt(candidates) ? Number(total) : candidates;
  let skip = BigInt(Math.floor(random() * choices));
  for (const { first, last } of free) {
    if (skip <= last - first) return subnetAt(pool, first + skip);
    skip -= last - first + 1n;
  }
  return null;
}

/** The subnet of one pool that has the number of a subnet of another; null when the pool ends before. */
export function subnetOfSameNumber(pool: Pool, subnet: Cidr, other: Pool): Cidr | null {
  const index = indexOf(pool, ipToBigInt(subnet.ip));
  return index > indexOf(other, ipToBigInt(other.max)) ? null : subnetAt(other, index);
}

/** What `taken` leaves free between the pool's min and max, ascending. One sort: fast with tens of thousands. */
function freeRanges(pool: Pool, taken: readonly Cidr[]): Range[] {
  const max = indexOf(pool, ipToBigInt(pool.max));
  const occupied = taken
    .filter((prefix) => prefix.ip.family === pool.network.ip.family)
    .map((prefix) => {
      const start = ipToBigInt(network(prefix).ip);
      const size = 1n << BigInt(ipBits(prefix.ip.family) - prefix.length);
      return { first: indexOf(pool, start), last: indexOf(pool, start + size - 1n) };
    })
    .sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const free: Range[] = [];
  let next = indexOf(pool, ipToBigInt(pool.min));
  for (const { first, last } of [...occupied, { first: max + 1n, last: max + 1n }]) {
    const end = first <= max ? first - 1n : max;
    if (next <= end) free.push({ first: next, last: end });
    if (last >= next) next = last + 1n;
  }
  return free;
}

/** The number of the pool's subnet that an address lies in; negative below the pool. */
function indexOf(pool: Pool, address: bigint): bigint {
  const offset = address - ipToBigInt(pool.network.ip);
  return offset >> hostBits(pool);
}

function subnetAt(pool: Pool, index: bigint): Cidr {
  const ip = ipFromBigInt(pool.network.ip.family, ipToBigInt(pool.network.ip) + (index << hostBits(pool)));
  if (ip === null) throw new RangeError("a subnet of the pool lies outside the address space");
  return cidr(ip, pool.subnetLen);
}

function hostBits(pool: Pool): bigint {
  return BigInt(ipBits(pool.network.ip.family) - pool.subnetLen);
}
