/** What a host knows of the overlay: itself, its peers, and who has which prefix; and who an address belongs to. */
import { mapped } from "./addresses.js";
import { byte, type Bytes, equal, isZero } from "./bytes.js";

export interface World {
  readonly self: Self;
  readonly peers: readonly Peer[];
  readonly routes: readonly Route[];
}

/** Absent addresses are all zero. */
export interface Self {
  readonly vni: number;
  /** Of the TUN: the largest inner packet. */
  readonly mtu: number;
  /** The tunnel's UDP port. */
  readonly port: number;
  readonly admit: {
    readonly external: boolean;
    readonly bridged: boolean;
    readonly lenient: boolean;
    readonly gbp: boolean;
  };
  /** Underlay addresses. */
  readonly source4: Bytes;
  readonly source6: Bytes;
  /** The TUN's own. */
  readonly address4: Bytes;
  readonly address6: Bytes;
  readonly gateway4: Bytes;
  readonly gateway6: Bytes;
  readonly mac4: Bytes;
  readonly mac6: Bytes;
}

/** One underlay address of a host. */
export interface Peer {
  /** 4 or 16 bytes. */
  readonly address: Bytes;
  /** The host's number. */
  readonly node: number;
  readonly mac: Bytes;
  /** It does not look at the outer ECN bits. */
  readonly noEcn: boolean;
}

export interface Route {
  readonly prefix: Bytes;
  /** Bits. */
  readonly length: number;
  /** Index of the peer, or this host. */
  readonly to: number | "local";
}

/** The longest prefix that covers an address, found by looking at every one; null when none does. */
export function longestMatch(world: World, address: Bytes): Route | null {
  let best: Route | null = null;
  for (const route of world.routes) {
    if (covers(route, address) && (best === null || route.length > best.length)) best = route;
  }
  return best;
}

/** The node whose underlay address this is; null when it is no peer's. */
export function nodeAt(world: World, address: Bytes): number | null {
  return world.peers.find((peer) => equal(mapped(peer.address), mapped(address)))?.node ?? null;
}

/** Whether this is one of the host's own underlay addresses. */
export function isOwnUnderlay({ self }: World, address: Bytes): boolean {
  return isOneOf(address, self.source4, self.source6);
}

/** Whether this is the TUN's own address or the pods' gateway. */
export function isOwnOverlay({ self }: World, address: Bytes): boolean {
  return isOneOf(address, self.address4, self.address6, self.gateway4, self.gateway6);
}

/** Whether this is the all-ones address of an own IPv4 subnet in which there is such a thing. */
export function isOwnBroadcast({ routes }: World, address: Bytes): boolean {
  return routes.some((route) => {
    if (route.to !== "local" || address.length !== 4 || route.length > 30 || !covers(route, address))
      return false;
    return Array.from({ length: 32 - route.length }, (_, i) => bit(address, route.length + i)).every(Boolean);
  });
}

function isOneOf(address: Bytes, ...own: readonly Bytes[]): boolean {
  return !isZero(address) && own.some((each) => equal(each, address));
}

function covers({ prefix, length }: Route, address: Bytes): boolean {
  if (prefix.length !== address.length) return false;
  for (let i = 0; i < length; i++) if (bit(prefix, i) !== bit(address, i)) return false;
  return true;
}

/** The n-th bit, counted from the most significant one. */
function bit(address: Bytes, n: number): boolean {
  return (byte(address, n >> 3) & (0x80 >> (n & 7))) !== 0;
}
