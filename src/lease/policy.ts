/**
 * What is believed of what the registry says. Everything in it may be wrong or hostile: a record becomes a lease only
 * when it fits the network config and this node's backend, and of leases that overlap the oldest counts. Pure.
 */
import { type NetworkConfig, overlayAround, type Pool } from "../config/network-config.js";
import { type Cidr, contains } from "../net/cidr.js";
import { type Ip, ipToBigInt, isUnicast } from "../net/ip.js";
import { decodeRecord, type LeaseRecord } from "./codec.js";
import type { Lease, LeasedSubnet, Rejection, RejectionReason } from "./lease.js";
import type { Snapshot } from "./registry.js";

export function isRejection(result: object): result is Rejection {
  return "reason" in result;
}

/** Reads a key's last part and its value. */
export function readLease(key: string, value: string, config: NetworkConfig): Lease | Rejection {
  const record = decodeRecord(key, value);
  return isRejection(record) ? record : admit(record, config);
}

/** True when nodes can take this subnet from the pool: inside, of the right length, between min and max. */
export function fitsPool(subnet: Cidr, pool: Pool): boolean {
  const start = ipToBigInt(subnet.ip);
  return isMember(subnet, pool) && start >= ipToBigInt(pool.min) && start <= ipToBigInt(pool.max);
}

function isMember(subnet: Cidr, pool: Pool): boolean {
  return subnet.length === pool.subnetLen && contains(pool.network, subnet);
}

/**
 * Translates a record into a lease, or says why it is not used. The IPv6 part of a key counts only in a network that
 * has IPv6; otherwise the record is one of IPv4 alone.
 */
function admit(record: LeaseRecord, config: NetworkConfig): Lease | Rejection {
  const { key, backend, vni } = record;
  const reject = (reason: RejectionReason, message: string): Rejection => ({ key, reason, message });
  if (backend !== config.backend.type) {
    return reject("backend", `it speaks ${backend}, this node ${config.backend.type}`);
  }
  if (config.backend.vni !== null && vni !== null && vni !== config.backend.vni) {
    return reject("vni", `its VNI is ${vni}, this node's ${config.backend.vni}`);
  }
  // flannel's udp proxy never looks at the outer header. What has no node id was written by flannel.
  const ecn = backend !== "udp" || record.nodeId !== null;
  const subnets: LeasedSubnet[] = [];
  const parts = [
    { prefix: record.subnet, pool: config.ipv4, address: record.publicIp, mac: record.mac },
    { prefix: record.subnet6, pool: config.ipv6, address: record.publicIpv6, mac: record.mac6 },
  ];
  for (const { prefix, pool, address, mac } of parts) {
    if (prefix === null || pool === null) continue;
    if (!contains(pool.network, prefix)) {
      return reject("outside-network", `${prefix.text} is not inside ${pool.network.text}`);
    }
    if (prefix.length !== pool.subnetLen) {
      return reject("length", `${prefix.text} is not a /${pool.subnetLen}`);
    }
    if (address === null || (backend === "vxlan" && mac === null)) {
      return reject("family", `${prefix.text} has no public address or no VTEP MAC of its family`);
    }
    const implausible = implausibleAddress(address, config);
    if (implausible !== null) return reject("address", implausible);
    subnets.push({ prefix, via: { address, mac: backend === "vxlan" ? mac : null, ecn } });
  }
  // A copy takes no more room than it needs, of which there are many thousands.
  return { key, subnets: subnets.slice(), backend: config.backend.type, vni };
}

/** Why no node can be reached at an underlay address, as a sentence; null when one may be. */
function implausibleAddress(address: Ip, config: NetworkConfig): string | null {
  if (!isUnicast(address)) return `${address.text} is no address that a host may have`;
  const around = overlayAround(config, address);
  return around === null ? null : `the public address ${address.text} lies inside the overlay ${around.text}`;
}

/**
 * So many leases are used at most, the oldest: flannel's own networks end below it (a /8 of /24 subnets), and with
 * about 2 KB for each they fit into any host's memory.
 */
export const MAX_LEASES = 65_536;

/**
 * The picture for the daemon, from all leases but this node's own. A key that cannot be used any more stays with the
 * lease that it stood for before, and is listed among the rejected all the same.
 *
 * @param results one per key, oldest first: of two leases for one subnet the older counts, on every node the same
 * @param own this node's lease; who claims its subnets or its address is rejected
 * @param before knows the leases in use until now, by key
 */
export function makeSnapshot(
  results: readonly (Lease | Rejection)[],
  own: Lease,
  before: Pick<ReadonlyMap<string, Lease>, "get"> = new Map<string, Lease>(),
): Pick<Snapshot, "peers" | "rejected"> {
  const claims = new Claims(own);
  const peers: Lease[] = [];
  const rejected: Rejection[] = [];
  for (const result of results) {
    const problem = isRejection(result) ? result : claims.take(result);
    if (!isRejection(result) && problem === null) peers.push(result);
    if (problem === null) continue;
    const lastGood = before.get(result.key);
    const kept = lastGood !== undefined && claims.take(lastGood) === null;
    if (kept) peers.push(lastGood);
    rejected.push(
      kept ? { ...problem, message: `${problem.message}; what it said before stays in use` } : problem,
    );
  }
  return { peers, rejected };
}

/** The key of a lease that has one of this node's subnets and is older than its own; null when there is none. */
export function olderHolder(older: readonly (Lease | Rejection)[], own: Lease): string | null {
  const subnets = own.subnets.map(({ prefix }) => prefix.text);
  const holder = older.find(
    (result) => !isRejection(result) && result.subnets.some(({ prefix }) => subnets.includes(prefix.text)),
  );
  return holder?.key ?? null;
}

/** What is taken: subnets and public addresses, by the lease that has them. */
class Claims {
  /** All admitted subnets of a family have one length, so they overlap only when they are the same. */
  readonly #holders = new Map<string, Lease>();
  readonly #ends = new Map<string, Lease>();
  readonly #ownAddresses: ReadonlySet<string>;
  #count = 0;

  constructor(own: Lease) {
    this.#ownAddresses = new Set(own.subnets.map(({ via }) => via.address.text));
    this.#enter(own);
  }

  /** Enters a lease unless it contradicts one that was entered before; then why. */
  take(lease: Lease): Rejection | null {
    const { key } = lease;
    const reject = (reason: RejectionReason, message: string): Rejection => ({ key, reason, message });
    for (const { prefix, via } of lease.subnets) {
      const holder = this.#holders.get(prefix.text);
      if (holder !== undefined) return reject("overlap", `${prefix.text} is already leased by ${holder.key}`);
      if (this.#ownAddresses.has(via.address.text)) {
        return reject("self", `${via.address.text} is this node's own address`);
      }
      // One host may have two leases, but not two MACs: frames for the older lease would go to the younger's.
      const end = via.mac === null ? undefined : this.#ends.get(via.address.text);
      if (end !== undefined && !sameMac(macAt(end, via.address), via.mac)) {
        return reject("duplicate", `${via.address.text} is the address of ${end.key}, with another MAC`);
      }
    }
    if (this.#count === MAX_LEASES) return reject("too-many", `${MAX_LEASES} older leases are in use`);
    this.#count++;
    this.#enter(lease);
    return null;
  }

  #enter(lease: Lease): void {
    for (const { prefix, via } of lease.subnets) {
      this.#holders.set(prefix.text, lease);
      if (via.mac !== null) this.#ends.set(via.address.text, lease);
    }
  }
}

function macAt({ subnets }: Lease, address: Ip): Uint8Array | null {
  return subnets.find(({ via }) => via.address.text === address.text)?.via.mac ?? null;
}

function sameMac(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === b || (a !== null && b !== null && Buffer.compare(a, b) === 0);
}
