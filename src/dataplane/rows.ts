/**
 * Packs tables into the rows that `native/core/tables.h` declares, byte for byte: addresses in network byte order,
 * integers in host byte order, no padding.
 */
import { endianness } from "node:os";
import type { Admission, PeerRow, RouteRow, SelfRow } from "../fib/compile.js";
import type { Ip } from "../net/ip.js";

export const SELF_ROW_SIZE = 84;
export const PEER_ROW_SIZE = 28;
export const ROUTE_ROW_SIZE = 24;

/** The "peer" of a route to this host's own subnets. */
const ROUTE_LOCAL = 0xffffffff;

/** Bits of `self_row.admit`. */
const ADMIT: Readonly<Record<keyof Admission, number>> = { external: 1, bridged: 2, lenient: 4, gbp: 8 };

/** Bit of `peer_row.flags`. */
const PEER_NO_ECN = 1;

/** The host's byte order, as DataView wants it told. */
export const LITTLE_ENDIAN = endianness() === "LE";

/** One SELF_ROW_SIZE row; what is absent becomes zeros. */
export function packSelf(self: SelfRow): Uint8Array {
  const bytes = new Uint8Array(SELF_ROW_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, self.vni, LITTLE_ENDIAN);
  view.setUint32(4, self.mtu, LITTLE_ENDIAN);
  const fields: readonly [number, Uint8Array | undefined | null][] = [
    [8, self.source4?.bytes],
    [12, self.source6?.bytes],
    [28, self.address4?.bytes],
    [32, self.address6?.bytes],
    [48, self.gateway4?.bytes],
    [52, self.gateway6?.bytes],
    [68, self.mac4],
    [74, self.mac6],
  ];
  for (const [offset, value] of fields) if (value) bytes.set(value, offset);
  view.setUint16(80, self.port, LITTLE_ENDIAN);
  view.setUint16(82, packAdmission(self.admit), LITTLE_ENDIAN);
  return bytes;
}

export function packPeers(peers: readonly PeerRow[]): Uint8Array {
  const bytes = new Uint8Array(peers.length * PEER_ROW_SIZE);
  const view = new DataView(bytes.buffer);
  peers.forEach((peer, i) => {
    const at = i * PEER_ROW_SIZE;
    setMapped(bytes, at, peer.address);
    view.setUint32(at + 16, peer.node, LITTLE_ENDIAN);
    if (peer.mac !== null) bytes.set(peer.mac, at + 20);
    bytes[at + 26] = peer.ecn ? 0 : PEER_NO_ECN;
  });
  return bytes;
}

export function packRoutes(routes: readonly RouteRow[]): Uint8Array {
  const bytes = new Uint8Array(routes.length * ROUTE_ROW_SIZE);
  const view = new DataView(bytes.buffer);
  routes.forEach(({ prefix, peer }, i) => {
    const at = i * ROUTE_ROW_SIZE;
    bytes.set(prefix.ip.bytes, at);
    view.setUint32(at + 16, peer ?? ROUTE_LOCAL, LITTLE_ENDIAN);
    bytes[at + 20] = prefix.ip.family;
    bytes[at + 21] = prefix.length;
  });
  return bytes;
}

function packAdmission(admit: Admission): number {
  const names = Object.keys(ADMIT) as (keyof Admission)[];
  return names.reduce((bits, name) => bits | (admit[name] ? ADMIT[name] : 0), 0);
}

/** IPv4 addresses as ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that all have one form. */
export function setMapped(bytes: Uint8Array, at: number, ip: Ip): void {
  if (ip.family === 4) bytes.fill(0xff, at + 10, at + 12);
  bytes.set(ip.bytes, at + 16 - ip.bytes.length);
}
