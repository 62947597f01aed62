/**
 * The TUN device as the host's network sees it: MTU, queue, addresses, and one route per family, the overlay's network
 * to the device. Declarative: what is missing is added, what is no longer wanted is removed.
 */
import { totalmem } from "node:os";
import { WeftError } from "../config/errors.js";
import { type Cidr, network } from "../net/cidr.js";
import type { Family } from "../net/ip.js";
import type { Netlink } from "./netlink.js";
import {
  type Link,
  type Route,
  RTPROT_WEFT,
  RT_TABLE_MAIN,
  addressAdd,
  addressDelete,
  linkConfigure,
  linkUp,
  routeAdd,
  routeDelete,
} from "./rtnetlink.js";

/**
 * Packets that wait for a worker. The kernel drops silently what does not fit. This many come in a second at 50 000 a
 * second: longer than weftd takes to be back after a crash, on a busy machine too (docs/adr/0014-restarts.md).
 */
const TX_QUEUE_LENGTH = 50_000;

/** What a packet in that queue can hold: the largest super-packet. The kernel counts packets, not bytes. */
const SUPER_PACKET = 65_536;

/** RFC 8200 §5: a link with a smaller MTU cannot carry IPv6, and the kernel takes IPv6 off it. */
const IPV6_MIN_MTU = 1280;

const IPV6_IS_OFF =
  "the network has IPv6 on, and IPv6 is disabled on this host: set sysctl net.ipv6.conf.default.disable_ipv6=0 and " +
  "net.ipv6.conf.all.disable_ipv6=0 (and boot without ipv6.disable=1), or turn IPv6 off in the network config";

export interface TunSettings {
  readonly ifindex: number;
  readonly mtu: number;
  /** This node's addresses on the device: the first of each leased subnet, with length 32 or 128. */
  readonly addresses: readonly Cidr[];
  /** The overlay's networks, at most one per family. */
  readonly networks: readonly Cidr[];
}

/**
 * The length of the TUN's queue on a host with `memory` bytes. Full of super-packets, which one UDP sender can see to
 * because the kernel charges them to no socket, the queue must not take more than a quarter of it.
 */
export function txQueueLength(memory: number): number {
  return Math.min(TX_QUEUE_LENGTH, Math.floor(memory / 4 / SUPER_PACKET));
}

/**
 * Brings the device to the wanted state. Idempotent, also over changes of the settings: addresses of the device and
 * weft's routes to it that are no longer wanted are removed.
 *
 * Throws a WeftError when the device is gone, when IPv6 is wanted and cannot work, or when another device holds the
 * route to one of the networks, before anything is changed; a NetlinkError when the kernel refuses a change.
 */
export function configureTun(netlink: Netlink, tun: TunSettings): void {
  const link = checkNetworks(netlink, tun);
  const networks = tun.networks.map(network);
  if (wants(tun, 6)) checkIpv6(link, tun.mtu);

  const { ifindex, mtu } = tun;
  const ipv6 = link.ipv6 && mtu >= IPV6_MIN_MTU;
  netlink.change(
    `set MTU ${mtu} and queue of ${link.name}`,
    linkConfigure(ifindex, { mtu, txQueueLength: txQueueLength(totalmem()), ipv6 }),
  );
  netlink.change(`set ${link.name} up`, linkUp(ifindex));

  const addresses = netlink
    .addresses()
    .filter((address) => address.ifindex === ifindex)
    .map(({ address }) => address);
  for (const address of missing(addresses, tun.addresses)) {
    netlink.change(`add address ${address.text} to ${link.name}`, addressAdd(ifindex, address));
  }
  for (const address of missing(tun.addresses, addresses)) {
    netlink.change(`delete address ${address.text} from ${link.name}`, addressDelete(ifindex, address));
  }

  // Read again: with a family's last address, or with an MTU too small for it, the kernel removed its routes as well.
  const routed = mainRoutes(netlink)
    .filter((route) => route.ifindex === ifindex && route.protocol === RTPROT_WEFT)
    .map(({ destination }) => destination);
  for (const destination of missing(routed, networks)) {
    netlink.change(`add route ${destination.text} to ${link.name}`, routeAdd(ifindex, destination));
  }
  for (const destination of missing(networks, routed)) {
    netlink.change(`delete route ${destination.text} to ${link.name}`, routeDelete(ifindex, destination));
  }
}

/**
 * Whether this host can route the networks to the TUN: it changes nothing. Returns the device; throws a WeftError when
 * it is gone, when IPv6 is disabled and asked for, and when another device has the route to one of the networks.
 */
export function checkNetworks(
  netlink: Netlink,
  { ifindex, networks }: Pick<TunSettings, "ifindex" | "networks">,
): Link {
  const links = netlink.links();
  const link = links.find((candidate) => candidate.ifindex === ifindex);
  if (link === undefined) throw new WeftError(`the TUN device (index ${ifindex}) is gone`);
  if (!link.ipv6 && networks.some(({ ip }) => ip.family === 6)) throw new WeftError(IPV6_IS_OFF);
  const held = mainRoutes(netlink);
  for (const destination of networks) checkRouteIsFree(network(destination), link, links, held);
  return link;
}

function wants(tun: TunSettings, family: Family): boolean {
  return [...tun.addresses, ...tun.networks].some(({ ip }) => ip.family === family);
}

function mainRoutes(netlink: Netlink): Route[] {
  return netlink.routes().filter(({ table }) => table === RT_TABLE_MAIN);
}

/** The members of `wanted` that are not in `present`. */
function missing(present: readonly Cidr[], wanted: readonly Cidr[]): Cidr[] {
  return wanted.filter(({ text }) => !present.some((other) => other.text === text));
}

function checkIpv6(link: Link, mtu: number): void {
  if (mtu < IPV6_MIN_MTU) {
    throw new WeftError(
      `${link.name} would have MTU ${mtu}, and IPv6 needs ${IPV6_MIN_MTU}: raise the underlay's MTU or turn IPv6 off`,
    );
  }
}

function checkRouteIsFree({ text }: Cidr, tun: Link, links: readonly Link[], routes: readonly Route[]): void {
  const other = routes.find(
    ({ destination, ifindex }) => destination.text === text && ifindex !== null && ifindex !== tun.ifindex,
  );
  if (other === undefined) return;
  const holder =
    links.find(({ ifindex }) => ifindex === other.ifindex)?.name ?? `device ${other.ifindex ?? 0}`;
  throw new WeftError(
    `${text} is already routed to ${holder}, so the overlay cannot have it: stop the daemon that holds it ` +
      `(flanneld, another weftd) and delete the route, or give the overlay another network`,
  );
}
