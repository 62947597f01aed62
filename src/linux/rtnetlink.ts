/**
 * rtnetlink as bytes: requests about links, addresses and routes out, the kernel's answers in. Pure; names and layouts
 * are those of linux/rtnetlink.h, linux/if_link.h and linux/if_addr.h. Addresses are in network byte order.
 *
 * Every request that is not a dump asks for an acknowledgement, so that each answer has an end (`native/sys/netlink.h`).
 */
import { type Cidr, cidr } from "../net/cidr.js";
import { type Family, type Ip, ipBits, ipFromBytes } from "../net/ip.js";
import {
  attribute,
  message,
  nested,
  parseAttributes,
  readString,
  readU32,
  readU64,
  u8,
  u32,
} from "./netlink-message.js";

const NLM_F_ACK = 0x4;
const NLM_F_DUMP = 0x300;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;

export const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const AF_UNSPEC = 0;
const AF_INET = 2;
const AF_INET6 = 10;

const IFF_UP = 0x1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_TXQLEN = 13;
const IFLA_STATS64 = 23;
/** `tx_dropped`, the eighth number of struct rtnl_link_stats64. */
const STATS64_TX_DROPPED = 56;
const IFLA_AF_SPEC = 26;
const IFLA_INET_CONF = 1;
const IPV4_DEVCONF_ACCEPT_LOCAL = 23;
const IFLA_INET6_CONF = 2;
const DEVCONF_DISABLE_IPV6 = 26;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
/** IPv4: not the first address of its prefix. IPv6: a temporary (privacy) address. */
export const IFA_F_SECONDARY = 0x01;
export const IFA_F_DADFAILED = 0x08;
export const IFA_F_DEPRECATED = 0x20;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
export const RT_TABLE_MAIN = 254;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_NOWHERE = 255;
export const RTN_UNICAST = 1;

/** The protocol number of weft's own routes: 'W'. No assignment in linux/rtnetlink.h or iproute2 uses it. */
export const RTPROT_WEFT = 87;

export interface Link {
  readonly ifindex: number;
  readonly name: string;
  readonly mtu: number;
  /** Whether the link can have IPv6 addresses: IPv6 is built in, not disabled here, and the MTU is large enough. */
  readonly ipv6: boolean;
  /** Packets that the kernel could not give to the link. */
  readonly txDropped: number;
}

export interface Address {
  readonly ifindex: number;
  /** This host's address, with the length of the prefix that is on link. */
  readonly address: Cidr;
  /** IFA_F_… */
  readonly flags: number;
}

export interface Route {
  readonly destination: Cidr;
  readonly table: number;
  /** RTPROT_… and RTN_… */
  readonly protocol: number;
  readonly type: number;
  /** The lower wins. */
  readonly priority: number;
  /** Of the first next hop; null for a route without a device (blackhole). */
  readonly ifindex: number | null;
  readonly prefSource: Ip | null;
}

// --- requests ---------------------------------------------------------------------------------------------------

export function linkDump(): Uint8Array {
  return message(RTM_GETLINK, NLM_F_DUMP, ifinfomsg(0));
}

export function linkGet(ifindex: number): Uint8Array {
  return message(RTM_GETLINK, NLM_F_ACK, ifinfomsg(ifindex));
}

/**
 * Sets MTU, queue length and `accept_local` of a link, and when `ipv6`, that the kernel gives it no link-local
 * address of its own.
 */
export function linkConfigure(
  ifindex: number,
  settings: { readonly mtu: number; readonly txQueueLength: number; readonly ipv6: boolean },
): Uint8Array {
  const inet = attribute(AF_INET, attribute(IFLA_INET_CONF, attribute(IPV4_DEVCONF_ACCEPT_LOCAL, u32(1))));
  const inet6 = attribute(AF_INET6, attribute(IFLA_INET6_ADDR_GEN_MODE, u8(IN6_ADDR_GEN_MODE_NONE)));
  return message(
    RTM_NEWLINK,
    NLM_F_ACK,
    ifinfomsg(ifindex),
    attribute(IFLA_MTU, u32(settings.mtu)),
    attribute(IFLA_TXQLEN, u32(settings.txQueueLength)),
    attribute(IFLA_AF_SPEC, inet, ...(settings.ipv6 ? [inet6] : [])),
  );
}

export function linkUp(ifindex: number): Uint8Array {
  return message(RTM_NEWLINK, NLM_F_ACK, ifinfomsg(ifindex, IFF_UP, IFF_UP));
}

export function addressDump(): Uint8Array {
  return message(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg(AF_UNSPEC, 0, 0, 0));
}

/** Adds an address; EEXIST when the link has it. An IPv6 address is usable at once (no duplicate detection). */
export function addressAdd(ifindex: number, address: Cidr): Uint8Array {
  return addressChange(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifindex, address);
}

export function addressDelete(ifindex: number, address: Cidr): Uint8Array {
  return addressChange(RTM_DELADDR, 0, ifindex, address);
}

/** All routes of all tables and families. */
export function routeDump(): Uint8Array {
  return message(RTM_GETROUTE, NLM_F_DUMP, rtmsg(AF_UNSPEC, 0));
}

/** Asks which route the kernel takes towards an address. */
export function routeGet(destination: Ip): Uint8Array {
  const header = rtmsg(addressFamily(destination.family), ipBits(destination.family));
  return message(RTM_GETROUTE, NLM_F_ACK, header, attribute(RTA_DST, destination.bytes));
}

/** Adds weft's route to a network out of a link, without a gateway; EEXIST when the network has a route like it. */
export function routeAdd(ifindex: number, destination: Cidr): Uint8Array {
  const scope = destination.ip.family === 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  return routeChange(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, ifindex, destination, scope);
}

/** Deletes weft's own route to a network out of a link. */
export function routeDelete(ifindex: number, destination: Cidr): Uint8Array {
  return routeChange(RTM_DELROUTE, 0, ifindex, destination, RT_SCOPE_NOWHERE);
}

function addressChange(type: number, flags: number, ifindex: number, { ip, length }: Cidr): Uint8Array {
  const addressFlags = type === RTM_NEWADDR && ip.family === 6 ? IFA_F_NODAD : 0;
  return message(
    type,
    flags | NLM_F_ACK,
    ifaddrmsg(addressFamily(ip.family), length, addressFlags, ifindex),
    attribute(IFA_LOCAL, ip.bytes),
    attribute(IFA_ADDRESS, ip.bytes),
  );
}

function routeChange(
  type: number,
  flags: number,
  ifindex: number,
  destination: Cidr,
  scope: number,
): Uint8Array {
  return message(
    type,
    flags | NLM_F_ACK,
    rtmsg(addressFamily(destination.ip.family), destination.length, scope),
    attribute(RTA_DST, destination.ip.bytes),
    attribute(RTA_OIF, u32(ifindex)),
  );
}

function ifinfomsg(ifindex: number, flags = 0, change = 0): Uint8Array {
  return Buffer.concat([u32(0), u32(ifindex, flags, change)]);
}

function ifaddrmsg(family: number, length: number, flags: number, ifindex: number): Uint8Array {
  return Buffer.concat([u8(family, length, flags, 0), u32(ifindex)]);
}

/** A unicast route of the main table with weft's protocol; in a question, all of that is ignored. */
function rtmsg(family: number, length: number, scope = RT_SCOPE_UNIVERSE): Uint8Array {
  return Buffer.concat([u8(family, length, 0, 0, RT_TABLE_MAIN, RTPROT_WEFT, scope, RTN_UNICAST), u32(0)]);
}

function addressFamily(family: Family): number {
  return family === 4 ? AF_INET : AF_INET6;
}

// --- answers ----------------------------------------------------------------------------------------------------

/** Parses the body of an RTM_NEWLINK. */
export function parseLink(body: Uint8Array): Link {
  const attributes = parseAttributes(body.subarray(16));
  const inet6 = nested(nested(attributes, IFLA_AF_SPEC), AF_INET6);
  const conf = inet6.get(IFLA_INET6_CONF);
  const stats = attributes.get(IFLA_STATS64);
  return {
    ifindex: readU32(body, 4),
    name: readString(attributes.get(IFLA_IFNAME) ?? u8()),
    mtu: readU32(attributes.get(IFLA_MTU) ?? u32(0), 0),
    ipv6: conf !== undefined && readU32(conf, 4 * DEVCONF_DISABLE_IPV6) === 0,
    txDropped: stats === undefined ? 0 : readU64(stats, STATS64_TX_DROPPED),
  };
}

/** Parses the body of an RTM_NEWADDR; null for families other than IPv4 and IPv6. */
export function parseAddress(body: Uint8Array): Address | null {
  const attributes = parseAttributes(body.subarray(8));
  // On a point-to-point link IFA_ADDRESS is the other end.
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  const [family, length = 0, flags = 0] = body;
  if ((family !== AF_INET && family !== AF_INET6) || bytes === undefined) return null;
  const longFlags = attributes.get(IFA_FLAGS);
  return {
    ifindex: readU32(body, 4),
    address: cidr(ipFromBytes(bytes), length),
    flags: longFlags === undefined ? flags : readU32(longFlags, 0),
  };
}

/** Parses the body of an RTM_NEWROUTE; null for families other than IPv4 and IPv6. */
export function parseRoute(body: Uint8Array): Route | null {
  const [family, length = 0, , , shortTable = 0, protocol = 0, , type = 0] = body;
  if (family !== AF_INET && family !== AF_INET6) return null;
  const attributes = parseAttributes(body.subarray(12));
  const number = (type: number): number | null => {
    const value = attributes.get(type);
    return value === undefined ? null : readU32(value, 0);
  };
  // struct rtnexthop of the first next hop: length, flags, weight, interface.
  const nextHops = attributes.get(RTA_MULTIPATH);
  const prefSource = attributes.get(RTA_PREFSRC);
  const anywhere = new Uint8Array(family === AF_INET ? 4 : 16);
  return {
    destination: cidr(ipFromBytes(attributes.get(RTA_DST) ?? anywhere), length),
    table: number(RTA_TABLE) ?? shortTable,
    protocol,
    type,
    priority: number(RTA_PRIORITY) ?? 0,
    ifindex: number(RTA_OIF) ?? (nextHops === undefined ? null : readU32(nextHops, 4)),
    prefSource: prefSource === undefined ? null : ipFromBytes(prefSource),
  };
}
