/**
 * flannel's notation of a lease: the last part of the etcd key names the subnets, the JSON value says where they are
 * reached. `decodeRecord` turns the two into a `LeaseRecord`, `formatKey` and `encodeValue` turn it back, byte for byte
 * as flannel writes it. What a record means for this node is decided in `policy.ts`.
 */
import * as v from "valibot";
import { parseFlannelJson } from "../config/flannel-json.js";
import { type Cidr, isNetwork, network, parseCidr } from "../net/cidr.js";
import { type Ip, parseIp } from "../net/ip.js";
import { formatMac, parseMac } from "../net/mac.js";
import type { Rejection } from "./lease.js";

/** A value longer than this is not looked at: flannel's are below 300 bytes. */
export const MAX_VALUE_BYTES = 4096;

/** The subnets that a key names. */
export interface LeaseSubnets {
  readonly subnet: Cidr;
  /** Null for a lease of IPv4 alone. */
  readonly subnet6: Cidr | null;
}

/** What a value says of the node. Facts that are not there are null. */
export interface LeaseAttributes {
  readonly publicIp: Ip;
  readonly publicIpv6: Ip | null;
  /** "udp" where no BackendType is written. */
  readonly backend: string;
  readonly vni: number | null;
  readonly mac: Uint8Array | null;
  readonly mac6: Uint8Array | null;
  /** weft's own fact, under BackendData.weft: the id of the node that wrote the lease. */
  readonly nodeId: string | null;
}

export interface LeaseRecord extends LeaseSubnets, LeaseAttributes {
  readonly key: string;
}

/** The key's last part: `10.5.32.0-24`, with IPv6 `10.5.69.0-24&fd05:0:0:4e::-64`. */
export function formatKey(subnets: LeaseSubnets): string {
  const part = (prefix: Cidr): string => prefix.text.replace("/", "-");
  return part(subnets.subnet) + (subnets.subnet6 === null ? "" : `&${part(subnets.subnet6)}`);
}

/** Parses a key's last part; null unless it names networks without host bits in canonical form. */
export function parseKey(key: string): LeaseSubnets | null {
  const match = /^(\d+\.\d+\.\d+\.\d+)-(\d+)(?:&([a-f\d:]+)-(\d+))?$/.exec(key);
  if (match === null) return null;
  const [, ip = "", length = "", ip6, length6 = ""] = match;
  const subnet = parseCidr(`${ip}/${length}`);
  const subnet6 = ip6 === undefined ? null : parseCidr(`${ip6}/${length6}`);
  if (subnet === null || !isNetwork(subnet)) return null;
  if (ip6 !== undefined && (subnet6?.ip.family !== 6 || !isNetwork(subnet6))) return null;
  return { subnet, subnet6 };
}

const BACKEND_DATA = v.optional(
  v.object({
    VNI: v.optional(v.pipe(v.number(), v.integer())),
    VtepMAC: v.optional(v.string()),
    weft: v.optional(v.object({ id: v.optional(v.string()) })),
  }),
);
const VALUE = v.object({
  PublicIP: v.string(),
  PublicIPv6: v.optional(v.string()),
  BackendType: v.optional(v.string()),
  BackendData: BACKEND_DATA,
  BackendV6Data: BACKEND_DATA,
});

/** The JSON value, with flannel's fields in flannel's order. */
export function encodeValue(attributes: LeaseAttributes): string {
  const { publicIp, publicIpv6, backend, vni, mac, mac6, nodeId } = attributes;
  const device = (address: Uint8Array): object => ({ VNI: vni, VtepMAC: formatMac(address) });
  const data = {
    ...(mac === null ? {} : device(mac)),
    ...(nodeId === null ? {} : { weft: { id: nodeId } }),
  };
  return JSON.stringify({
    PublicIP: publicIp.text,
    PublicIPv6: publicIpv6?.text ?? null,
    ...(backend === "udp" ? {} : { BackendType: backend }),
    ...(Object.keys(data).length === 0 ? {} : { BackendData: data }),
    ...(mac6 === null ? {} : { BackendV6Data: device(mac6) }),
  });
}

/**
 * The subnets that a key names, as far as it can be read: what is wrong with the rest of a key does not make a subnet
 * free.
 */
export function namedSubnets(key: string): Cidr[] {
  return key.split("&").flatMap((part) => {
    const prefix = parseCidr(part.replace("-", "/"));
    return prefix === null ? [] : [network(prefix)];
  });
}

/** Reads a key's last part and its value. Anything that flannel's reader or this one cannot read is a rejection. */
export function decodeRecord(key: string, value: string): LeaseRecord | Rejection {
  const subnets = parseKey(key);
  if (subnets === null) {
    // Of a key that may be megabytes long, enough to find it.
    const start = key.slice(0, 100);
    return { key: start, reason: "malformed", message: "the key is not of the form 10.5.32.0-24" };
  }
  if (Buffer.byteLength(value) > MAX_VALUE_BYTES) {
    return { key, reason: "oversized", message: `the value has more than ${MAX_VALUE_BYTES} bytes` };
  }
  try {
    return { key, ...subnets, ...parseValue(value) };
  } catch (error) {
    return { key, reason: "malformed", message: `the value cannot be read: ${(error as Error).message}` };
  }
}

function parseValue(json: string): LeaseAttributes {
  const value = parseFlannelJson(json, VALUE);
  const publicIp = parseIp(value.PublicIP);
  if (publicIp?.family !== 4) throw new Error(`PublicIP: "${value.PublicIP}" is no IPv4 address`);
  const publicIpv6 = value.PublicIPv6 === undefined ? null : parseIp(value.PublicIPv6);
  if (value.PublicIPv6 !== undefined && publicIpv6?.family !== 6) {
    throw new Error(`PublicIPv6: "${value.PublicIPv6}" is no IPv6 address`);
  }
  return {
    publicIp,
    publicIpv6,
    backend: value.BackendType || "udp",
    vni: value.BackendData?.VNI ?? value.BackendV6Data?.VNI ?? null,
    mac: readMac(value.BackendData?.VtepMAC),
    mac6: readMac(value.BackendV6Data?.VtepMAC),
    nodeId: value.BackendData?.weft?.id ?? null,
  };
}

function readMac(text: string | undefined): Uint8Array | null {
  if (text === undefined) return null;
  const mac = parseMac(text);
  if (mac === null) throw new Error(`VtepMAC: "${text}" is no address of an interface`);
  return mac;
}
