/**
 * The network config: what all nodes of one overlay agree on. In etcd it is flannel's JSON under `<prefix>/config`;
 * in a peers file it is the head of the file. Either notation is read into `PoolInput` and `BackendInput`, and
 * `makePool` and `makeBackend` fill in flannel's defaults and check flannel's rules for both.
 */
import * as v from "valibot";
import { addressAt, type Cidr, cidr, contains, isNetwork, network, parseCidr } from "../net/cidr.js";
import { type Family, type Ip, ipBits, ipToBigInt, parseIp } from "../net/ip.js";
import { ConfigError } from "./errors.js";
import { parseFlannelJson } from "./flannel-json.js";

/** The address range that subnets of one family are taken from. */
export interface Pool {
  /** A network (no host bits). */
  readonly network: Cidr;
  readonly subnetLen: number;
  /** Network addresses of the first and the last subnet that may be given out. */
  readonly min: Ip;
  readonly max: Ip;
}

export interface Backend {
  readonly type: "udp" | "vxlan";
  /** UDP port: 8285 for udp, 8472 for vxlan unless configured. */
  readonly port: number;
  /** VXLAN network identifier; null in udp format. */
  readonly vni: number | null;
  /** The underlay's MTU when configured; null = that of the underlay interface. */
  readonly mtu: number | null;
  /** VXLAN's Group Based Policy extension is in use: its bits in the VXLAN header are no reason to drop. */
  readonly gbp: boolean;
}

export interface NetworkConfig {
  /** Null when IPv4 is off (file registry only). */
  readonly ipv4: Pool | null;
  readonly ipv6: Pool | null;
  readonly backend: Backend;
  /** Sentences about settings that are understood and not honoured, to be logged once. */
  readonly warnings: readonly string[];
}

/** The overlay's networks, IPv4 first. */
export function overlayNetworks({ ipv4, ipv6 }: Pick<NetworkConfig, "ipv4" | "ipv6">): Cidr[] {
  return [ipv4, ipv6].flatMap((pool) => (pool === null ? [] : [pool.network]));
}

/** The overlay's network that an address lies in, where no address of the underlay may lie; null for none. */
export function overlayAround(config: NetworkConfig, address: Ip): Cidr | null {
  return overlayNetworks(config).find((candidate) => contains(candidate, address)) ?? null;
}

/** What a pool is made of; null = by default. */
export interface PoolInput {
  readonly network: Cidr;
  readonly subnetLen: number | null;
  readonly min: Ip | null;
  readonly max: Ip | null;
}

/** flannel's rules per family: the smallest network, the usual subnet length and where it ends, the longest subnet. */
const POOL_RULES = {
  4: { smallestNetwork: 28, usualLen: 24, usualUpTo: 22, longestSubnet: 30, prefix: "" },
  6: { smallestNetwork: 124, usualLen: 64, usualUpTo: 62, longestSubnet: 126, prefix: "IPv6" },
} as const;

/** The longest prefix that a node's subnet may have: room for a tunnel and a bridge address. */
export function longestSubnet(family: Family): number {
  return POOL_RULES[family].longestSubnet;
}

/** Makes the pool of one family: defaults filled in, every rule checked. Throws a ConfigError. */
export function makePool(input: PoolInput): Pool {
  const base = network(input.network);
  const rules = POOL_RULES[base.ip.family];
  const name = (field: string): string => rules.prefix + field;
  if (base.length > rules.smallestNetwork) {
    throw new ConfigError(`${name("Network")} ${base.text} is too small: /${rules.smallestNetwork} at least`);
  }
  const subnetLen = input.subnetLen ?? (base.length <= rules.usualUpTo ? rules.usualLen : base.length + 2);
  if (subnetLen > rules.longestSubnet || subnetLen < base.length + 2) {
    throw new ConfigError(
      `${name("SubnetLen")} ${subnetLen} does not fit ${base.text}: ` +
        `${base.length + 2} (four subnets) to ${rules.longestSubnet}`,
    );
  }
  const hostBits = BigInt(ipBits(base.ip.family) - subnetLen);
  const lastIndex = (1n << BigInt(subnetLen - base.length)) - 1n;
  const edge = (field: string, ip: Ip | null, index: bigint): Ip => {
    const edgeIp = ip ?? addressAt(base, index << hostBits);
    if (edgeIp === null || !contains(base, edgeIp)) {
      throw new ConfigError(`${name(field)} ${edgeIp?.text ?? ""} is not inside ${base.text}`);
    }
    if (!isNetwork(cidr(edgeIp, subnetLen))) {
      throw new ConfigError(`${name(field)} ${edgeIp.text} is not the start of a /${subnetLen}`);
    }
    return edgeIp;
  };
  const min = edge("SubnetMin", input.min, 1n);
  const max = edge("SubnetMax", input.max, lastIndex);
  if (ipToBigInt(min) > ipToBigInt(max)) {
    throw new ConfigError(`${name("SubnetMin")} ${min.text} lies after ${name("SubnetMax")} ${max.text}`);
  }
  return { network: base, subnetLen, min, max };
}

/** What a backend is made of; null or 0 = by default. */
export interface BackendInput {
  readonly type: string;
  readonly port: number | null;
  readonly vni: number | null;
  readonly mtu: number | null;
  readonly gbp: boolean;
}

/** Makes the backend: defaults filled in, ranges checked. Throws a ConfigError. */
export function makeBackend(input: BackendInput): Backend {
  const type = input.type.toLowerCase();
  if (type !== "udp" && type !== "vxlan") {
    throw new ConfigError(`weft does not speak the backend "${input.type}": use "udp" or "vxlan"`);
  }
  const mtu = input.mtu === 0 ? null : input.mtu;
  if (mtu !== null) inRange("MTU", mtu, 576, 65535);
  return {
    type,
    port: inRange("Port", input.port ?? 0, 0, 65535) || (type === "udp" ? 8285 : 8472),
    vni: type === "udp" ? null : inRange("VNI", input.vni ?? 1, 0, 0xffffff),
    mtu,
    gbp: type === "vxlan" && input.gbp,
  };
}

function inRange(name: string, value: number, low: number, high: number): number {
  if (value >= low && value <= high) return value;
  throw new ConfigError(`${name} ${value} is out of range: ${low} to ${high}`);
}

const text = v.optional(v.string());
const integer = v.optional(v.pipe(v.number(), v.integer()));
const flag = v.optional(v.boolean(), false);

/** The fields of flannel's JSON that weft knows. */
const FLANNEL_CONFIG = v.object({
  EnableIPv4: v.optional(v.boolean(), true),
  EnableIPv6: flag,
  Network: text,
  SubnetLen: integer,
  SubnetMin: text,
  SubnetMax: text,
  IPv6Network: text,
  IPv6SubnetLen: integer,
  IPv6SubnetMin: text,
  IPv6SubnetMax: text,
  Backend: v.optional(
    v.object({
      Type: v.string(),
      Port: integer,
      VNI: integer,
      MTU: integer,
      DirectRouting: flag,
      GBP: flag,
      Learning: flag,
    }),
  ),
});
type FlannelConfig = v.InferOutput<typeof FLANNEL_CONFIG>;

/** Parses flannel's network config (JSON). Throws a ConfigError that names the field. */
export function parseNetworkConfig(json: string): NetworkConfig {
  try {
    return fromFlannel(parseFlannelJson(json, FLANNEL_CONFIG));
  } catch (error) {
    throw new ConfigError(`network config: ${(error as Error).message}`);
  }
}

function fromFlannel(config: FlannelConfig): NetworkConfig {
  if (!config.EnableIPv4) {
    throw new ConfigError("EnableIPv4 false: IPv6-only networks have no form in etcd; use a peers file");
  }
  const given = config.Backend ?? { Type: "udp", DirectRouting: false, GBP: false, Learning: false };
  const backend = makeBackend({
    type: given.Type,
    port: given.Port ?? null,
    vni: given.VNI ?? null,
    mtu: given.MTU ?? null,
    gbp: given.GBP,
  });
  const warnings = (["DirectRouting", "Learning"] as const)
    .filter((name) => backend.type === "vxlan" && given[name])
    .map((name) => `network config: ${name} is set and has no effect in weft`);
  if (config.EnableIPv6 && backend.type === "udp") {
    warnings.push("network config: EnableIPv6 has no effect: the udp format carries IPv4 only");
  }
  return {
    ipv4: flannelPool(config, 4),
    ipv6: config.EnableIPv6 && backend.type === "vxlan" ? flannelPool(config, 6) : null,
    backend,
    warnings,
  };
}

function flannelPool(config: FlannelConfig, family: Family): Pool {
  const prefix = POOL_RULES[family].prefix;
  const networkText = config[`${prefix}Network`];
  if (networkText === undefined) throw new ConfigError(`${prefix}Network is missing`);
  const base = parseCidr(networkText);
  if (base?.ip.family !== family) {
    throw new ConfigError(`${prefix}Network "${networkText}" is no IPv${family} network`);
  }
  const address = (field: "SubnetMin" | "SubnetMax"): Ip | null => {
    const value = config[`${prefix}${field}`];
    if (value === undefined) return null;
    const ip = parseIp(value);
    if (ip?.family !== family)
      throw new ConfigError(`${prefix}${field} "${value}" is no IPv${family} address`);
    return ip;
  };
  return makePool({
    network: base,
    subnetLen: config[`${prefix}SubnetLen`] || null,
    min: address("SubnetMin"),
    max: address("SubnetMax"),
  });
}
