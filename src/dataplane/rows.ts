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

/** Rows of which the packed bytes are known. */
export interface Packed<Row> {
  readonly rows: readonly Row[];
  readonly bytes: Uint8Array;
}

/** @param known an earlier table: where it has the very same row in the same place, the bytes are taken from there */
export function packPeers(peers: readonly PeerRow[], known: Packed<PeerRow> | null = null): Uint8Array {
  return packRows(peers, PEER_ROW_SIZE, known, ({ address, node, mac, ecn }, bytes, view, at) => {
    setMapped(bytes, at, address);
    view.setUint32(at + 16, node, LITTLE_ENDIAN);
    if (mac !== null) copy(mac, bytes, at + 20);
    bytes[at + 26] = ecn ? 0 : PEER_NO_ECN;
  });
}

/** @param known as for peers */
export function packRoutes(routes: readonly RouteRow[], known: Packed<RouteRow> | null = null): Uint8Array {
  return packRows(routes, ROUTE_ROW_SIZE, known, ({ prefix, peer }, bytes, view, at) => {
    copy(prefix.ip.bytes, bytes, at);
    view.setUint32(at + 16, peer ?? ROUTE_LOCAL, LITTLE_ENDIAN);
    bytes[at + 20] = prefix.ip.family;
    bytes[at + 21] = prefix.length;
  });
}

/** @param pack writes a row's bytes over zeros */
function packRows<Row>(
  rows: readonly Row[],
  size: number,
  known: Packed<Row> | null,
  pack: (row: Row, bytes: Uint8Array, view: DataView, at: number) => void,
): Uint8Array {
  const bytes = new Uint8Array(rows.length * size);
  const view = new DataView(bytes.buffer);
  if (known !== null) bytes.set(known.bytes.subarray(0, bytes.length));
  rows.forEach((row, index) => {
    if (known?.rows[index] === row) return;
    const at = index * size;
    bytes.fill(0, at, at + size);
    pack(row, bytes, view, at);
  });
  return bytes;
}

function packAdmission(admit: Admission): number {
  const names = Object.keys(ADMIT) as (keyof Admission)[];
  return names.reduce((bits, name) => bits | (admit[name] ? ADMIT[name] : 0), 0);
}

/** IPv4 addresses as ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that all have one form. */
export function setMapped(bytes: Uint8Array, at: number, ip: Ip): void {
  if (ip.family === 4) bytes[at + 10] = bytes[at + 11] = 0xff;
  copy(ip.bytes, bytes, at + 16 - ip.bytes.length);
}

/** For a few bytes faster than `set`, which counts with thousands of rows. */
function copy(from: Uint8Array, to: Uint8Array, at: number): void {
  for (let i = 0; i < from.length; i++) to[at + i] = from[i] ?? 0;
}
