/**
 * Which interface carries the encapsulated packets, and under which addresses other nodes reach this one. flannel's
 * rules: the first of `--iface` that exists, else the first of `--iface-regex`, else the interface on the way to
 * `--iface-can-reach`, else the one that has `--public-ip`, else the default route's.
 */
import { ConfigError, WeftError } from "../config/errors.js";
import type { Options } from "../config/options.js";
import { type Family, type Ip, isLinkLocal, isUnicast, parseIp } from "../net/ip.js";
import { type Netlink, NetlinkError } from "./netlink.js";
import {
  type Address,
  IFA_F_DADFAILED,
  IFA_F_DEPRECATED,
  IFA_F_SECONDARY,
  type Link,
  RTN_UNICAST,
  RT_TABLE_MAIN,
  type Route,
} from "./rtnetlink.js";

export interface Underlay {
  readonly name: string;
  readonly ifindex: number;
  readonly mtu: number;
  /** The interface's own addresses. */
  readonly address4: Ip | null;
  readonly address6: Ip | null;
  /** The addresses to publish: the interface's unless overridden (a host behind 1:1 NAT). */
  readonly publicIp: Ip | null;
  readonly publicIpv6: Ip | null;
}

export type UnderlayOptions = Pick<
  Options,
  "iface" | "ifaceRegex" | "ifaceCanReach" | "publicIp" | "publicIpv6" | "tun"
>;

/** What the choice is made from. */
export type HostNetwork = Pick<Netlink, "links" | "addresses" | "routes" | "routeTo">;

/** An interface, with the address of it that was asked for, if one was. */
interface Choice {
  readonly link: Link;
  readonly address: Ip | null;
}

/** An interface that may be chosen, and its unicast addresses, the most suitable first. */
interface Candidate {
  readonly link: Link;
  readonly addresses: readonly Ip[];
}

/**
 * Chooses the underlay. Never the TUN device. Throws a WeftError that lists the host's interfaces when nothing fits,
 * a ConfigError for a pattern that is none.
 */
export function chooseUnderlay(host: HostNetwork, options: UnderlayOptions): Underlay {
  const candidates = listCandidates(host, options.tun);
  const { link, address } = choose(host, options, candidates);
  const addresses = candidates.find((candidate) => candidate.link === link)?.addresses ?? [];
  const own = (family: Family): Ip | null =>
    address?.family === family ? address : (addresses.find((ip) => ip.family === family) ?? null);
  const [address4, address6] = [own(4), own(6)];
  return {
    name: link.name,
    ifindex: link.ifindex,
    mtu: link.mtu,
    address4,
    address6,
    publicIp: options.publicIp ?? address4,
    publicIpv6: options.publicIpv6 ?? address6,
  };
}

function choose(host: HostNetwork, options: UnderlayOptions, candidates: readonly Candidate[]): Choice {
  if (options.iface.length > 0 || options.ifaceRegex.length > 0) {
    const choice =
      first(options.iface, (name) => byName(candidates, name)) ??
      first(options.ifaceRegex, (pattern) => byPattern(candidates, pattern));
    if (choice !== null) return choice;
    const asked = [...options.iface, ...options.ifaceRegex.map((pattern) => `/${pattern}/`)].join(", ");
    throw new WeftError(`no interface with an address fits ${asked}; ${describe(candidates)}`);
  }
  if (options.ifaceCanReach !== null) return byRoute(host, candidates, options.ifaceCanReach);
  const choice =
    first([options.publicIp, options.publicIpv6], (ip) => (ip === null ? null : byAddress(candidates, ip))) ??
    byDefaultRoute(host, candidates);
  if (choice !== null) return choice;
  throw new WeftError(
    `no default route leads out of an interface with an address; name one with --iface: ${describe(candidates)}`,
  );
}

/** The first result of `find` that is not null, in the order of `items`. */
function first<T>(items: readonly T[], find: (item: T) => Choice | null): Choice | null {
  for (const item of items) {
    const choice = find(item);
    if (choice !== null) return choice;
  }
  return null;
}

function byName(candidates: readonly Candidate[], name: string): Choice | null {
  const ip = parseIp(name);
  if (ip !== null) return byAddress(candidates, ip);
  return usable(candidates.find(({ link }) => link.name === name));
}

function byAddress(candidates: readonly Candidate[], ip: Ip): Choice | null {
  const owner = candidates.find(({ addresses }) => addresses.some(({ text }) => text === ip.text));
  return owner === undefined ? null : { link: owner.link, address: ip };
}

/** An interface one of whose addresses fits the pattern goes before one whose name does. */
function byPattern(candidates: readonly Candidate[], pattern: string): Choice | null {
  let regex: RegExp;
  try {
    regex = new RegExp(pattern);
  } catch (cause) {
    throw new ConfigError(`--iface-regex ${pattern} is no regular expression`, { cause });
  }
  for (const { link, addresses } of candidates) {
    const address = addresses.find(({ text }) => regex.test(text));
    if (address !== undefined) return { link, address };
  }
  return usable(candidates.find(({ link, addresses }) => addresses.length > 0 && regex.test(link.name)));
}

function byRoute(host: HostNetwork, candidates: readonly Candidate[], destination: Ip): Choice {
  let route: Route;
  try {
    route = host.routeTo(destination);
  } catch (cause) {
    if (!(cause instanceof NetlinkError)) throw cause;
    throw new WeftError(`--iface-can-reach: ${cause.message}; ${describe(candidates)}`, undefined, { cause });
  }
  const { type, ifindex, prefSource: address } = route;
  const link = candidates.find((candidate) => candidate.link.ifindex === ifindex)?.link;
  if (type === RTN_UNICAST && link !== undefined && address !== null && !needsZone(address)) {
    return { link, address };
  }
  throw new WeftError(
    `--iface-can-reach: ${destination.text} is not reached through an interface with an address; ${describe(candidates)}`,
  );
}

/** The interface of the best default route; IPv4's before IPv6's. */
function byDefaultRoute(host: HostNetwork, candidates: readonly Candidate[]): Choice | null {
  const routes = host
    .routes()
    .filter(
      ({ destination, table, type }) =>
        destination.length === 0 && table === RT_TABLE_MAIN && type === RTN_UNICAST,
    )
    .sort((a, b) => a.destination.ip.family - b.destination.ip.family || a.priority - b.priority);
  return first(routes, (route) => usable(candidates.find(({ link }) => link.ifindex === route.ifindex)));
}

function usable(candidate: Candidate | undefined): Choice | null {
  return candidate === undefined || candidate.addresses.length === 0
    ? null
    : { link: candidate.link, address: null };
}

function listCandidates(host: HostNetwork, tun: string): Candidate[] {
  const addresses = host.addresses();
  return host
    .links()
    .filter(({ name }) => name !== tun)
    .map((link) => ({
      link,
      addresses: addresses
        .filter(({ ifindex, address: { ip } }) => ifindex === link.ifindex && isUnicast(ip) && !needsZone(ip))
        .sort((a, b) => unfitness(a) - unfitness(b))
        .map(({ address }) => address.ip),
    }));
}

/** An IPv6 link-local address means nothing to a peer without the name of an interface of the peer's own. */
function needsZone(ip: Ip): boolean {
  return ip.family === 6 && isLinkLocal(ip);
}

/** Sorts an interface's addresses: stable global ones, then those that may vanish, then link-local ones. */
function unfitness({ address: { ip }, flags }: Address): number {
  const fleeting = (flags & (IFA_F_SECONDARY | IFA_F_DEPRECATED | IFA_F_DADFAILED)) !== 0;
  return (isLinkLocal(ip) ? 2 : 0) + (fleeting ? 1 : 0);
}

function describe(candidates: readonly Candidate[]): string {
  const list = candidates.map(({ link, addresses }) => {
    const texts = addresses.map(({ text }) => text).join(", ");
    return `${link.name} (${texts === "" ? "no address" : texts})`;
  });
  return `this host has ${list.join(", ")}`;
}
