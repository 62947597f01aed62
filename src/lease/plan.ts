/**
 * Which lease this node should hold, in flannel's order: the one that already carries its address, else a free subnet
 * (`allocator.ts`). Pure: from what stands in the registry to the key and value to write.
 */
import { ConfigError, WeftError } from "../config/errors.js";
import { type Cidr, network, parseCidr } from "../net/cidr.js";
import type { Ip } from "../net/ip.js";
import { deriveMac } from "../net/mac.js";
import { chooseSubnet, subnetOfSameNumber } from "./allocator.js";
import { encodeValue, formatKey, type LeaseRecord, type LeaseSubnets } from "./codec.js";
import type { Lease } from "./lease.js";
import { fitsPool, isRejection, readLease } from "./policy.js";
import type { LeaseRequest } from "./registry.js";

export interface LeasePlan {
  /** The key's last part. */
  readonly key: string;
  readonly subnet: Cidr;
  readonly value: string;
  /** What other nodes will read. */
  readonly lease: Lease;
  /** The key is still to be made. */
  readonly isNew: boolean;
}

/**
 * @param records what can be read of the leases in the registry, oldest first
 * @param taken every subnet that a key names, whatever its value
 * @param candidates among how many free subnets to choose
 * @returns null when no subnet is free
 * @throws ConfigError when this host cannot have a lease; WeftError when its lease is another node's
 */
export function planLease(
  request: LeaseRequest,
  records: readonly LeaseRecord[],
  taken: readonly Cidr[],
  candidates: number,
  random: () => number,
): LeasePlan | null {
  const { publicIp, config, nodeId } = request;
  const publicIpv6 = config.ipv6 === null ? null : request.publicIpv6;
  if (publicIp === null) {
    throw new ConfigError("a lease needs an IPv4 address of this host: set --iface or --public-ip");
  }
  if (config.ipv6 !== null && publicIpv6 === null) {
    throw new ConfigError("the network has IPv6 and this host has no IPv6 address: set --public-ipv6");
  }
  const existing = findOwn(request, records, publicIp);
  const subnets = existing ?? chooseSubnets(request, taken, candidates, random);
  if (subnets === null) return null;
  const { vni } = config.backend;
  const macOf = (known: Uint8Array | null | undefined, address: Ip | null): Uint8Array | null =>
    vni === null || address === null ? null : (known ?? deriveMac(vni, address));
  const key = existing?.key ?? formatKey(subnets);
  const value = encodeValue({
    publicIp,
    publicIpv6,
    backend: config.backend.type,
    vni,
    mac: macOf(existing?.mac, publicIp),
    mac6: macOf(existing?.mac6, publicIpv6),
    nodeId,
  });
  const result = readLease(key, value, config);
  if (isRejection(result)) throw new ConfigError(`no node would accept this node's lease: ${result.message}`);
  return { key, subnet: subnets.subnet, value, lease: result, isNew: existing === null };
}

/** True when a lease with this host's address may be rewritten by this node. */
export function isOwn(record: LeaseRecord, request: LeaseRequest): boolean {
  return record.publicIp.text === request.publicIp?.text && !isForeign(record, request);
}

function isForeign({ nodeId }: LeaseRecord, request: LeaseRequest): boolean {
  return nodeId !== null && request.nodeId !== null && nodeId !== request.nodeId;
}

/** The lease with this host's address, or the one of the previous subnet if its node id proves it to be this node's. */
function findOwn(request: LeaseRequest, records: readonly LeaseRecord[], publicIp: Ip): LeaseRecord | null {
  const fitting = records.filter((record) => fitsConfig(record, request));
  const previous = parsePrevious(request.previousSubnet);
  const found =
    fitting.find((record) => record.publicIp.text === publicIp.text) ??
    fitting.find(
      (record) =>
        request.nodeId !== null && record.nodeId === request.nodeId && record.subnet.text === previous?.text,
    );
  if (found === undefined) return null;
  if (isForeign(found, request) && !request.reclaim) {
    throw new WeftError(
      `the lease ${found.key} carries this host's address ${publicIp.text} and belongs to node ` +
        `"${found.nodeId ?? ""}", while this is node "${request.nodeId ?? ""}". If this host was set up anew or replaces ` +
        `that node, start it once with --reclaim, or always with --node-id=${found.nodeId ?? ""}; if that node runs, ` +
        "the two need different addresses: see --public-ip and --iface",
    );
  }
  return found;
}

function fitsConfig({ subnet, subnet6 }: LeaseSubnets, { config }: LeaseRequest): boolean {
  const fits4 = config.ipv4 !== null && fitsPool(subnet, config.ipv4);
  return fits4 && (config.ipv6 === null || (subnet6 !== null && fitsPool(subnet6, config.ipv6)));
}

function chooseSubnets(
  request: LeaseRequest,
  taken: readonly Cidr[],
  candidates: number,
  random: () => number,
): LeaseSubnets | null {
  const { ipv4, ipv6 } = request.config;
  if (ipv4 === null) return null;
  const subnet = chooseSubnet(ipv4, taken, [parsePrevious(request.previousSubnet)], candidates, random);
  if (subnet === null) return null;
  if (ipv6 === null) return { subnet, subnet6: null };
  // Only the IPv4 subnet is guarded by the key. Who takes the IPv6 subnet of the same number races for that one, too.
  const preferred = [parsePrevious(request.previousSubnet6), subnetOfSameNumber(ipv4, subnet, ipv6)];
  const subnet6 = chooseSubnet(ipv6, taken, preferred, candidates, random);
  return subnet6 === null ? null : { subnet, subnet6 };
}

/** The network of an `<address>/<length>` of `subnet.env`; null for none and for anything unreadable. */
function parsePrevious(text: string | null): Cidr | null {
  const parsed = text === null ? null : parseCidr(text);
  return parsed === null ? null : network(parsed);
}
