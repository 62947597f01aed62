/** What becomes of a packet from the TUN, in the order in which it is looked at. */
import { checkAddresses } from "./addresses.js";
import { be16, type Bytes, replaced } from "./bytes.js";
import { checksum } from "./checksum.js";
import { outerTos } from "./ecn.js";
import { flowPort } from "./flow.js";
import { fragment } from "./fragment.js";
import { headerLength, type IpPacket, parseIp, totalLength, writeIp } from "./ip.js";
import type { Paths } from "./path.js";
import type { Or, Reason } from "./reasons.js";
import { segment, segmentHeaderLength } from "./segment.js";
import { type Offload, orOtherZero } from "./transport.js";
import { IPV4_TYPE, IPV6_TYPE, VXLAN_OVERHEAD, writeFrame } from "./vxlan.js";
import { isOwnBroadcast, isOwnUnderlay, longestMatch, nodeAt, type Peer, type World } from "./world.js";

export type Format = "udp" | "vxlan";

export interface Datagram {
  /** Row of the peer it goes to. */
  readonly peer: number;
  /** The source port it leaves from, by its number. */
  readonly port: number;
  readonly tos: number;
  readonly data: Bytes;
}

/** Dropped: `packet` is null when it could not be parsed; `mtu` is what would fit, 0 before that is known. */
export interface Refused {
  readonly reason: Reason;
  readonly packet: IpPacket | null;
  readonly mtu: number;
}

/** The datagrams a packet is sent as. */
export function encapsulate(
  format: Format,
  world: World | null,
  paths: Paths,
  nowMs: number,
  data: Bytes,
  offload: Offload,
): readonly Datagram[] | Refused {
  const packet = parseIp(data);
  if (typeof packet === "string") return { reason: packet, packet: null, mtu: 0 };
  const wrong = checkAddresses(packet);
  if (wrong !== null) return { reason: wrong, packet, mtu: 0 };
  if (world === null) return { reason: "not_ready", packet, mtu: 0 };
  const row = findPeer(format, world, packet);
  if (typeof row === "string") return { reason: row, packet, mtu: 0 };
  const peer = world.peers[row];
  if (peer === undefined) throw new RangeError(`no peer ${row}`);
  if (packet.ttl <= 1) return { reason: "ttl", packet, mtu: 0 };

  const mtu = mtuTo(format, world, paths, nowMs, peer);
  const pieces = offload.gso === null ? single(packet, offload, mtu) : superPacket(packet, offload, mtu);
  if (typeof pieces === "string") return { reason: pieces, packet, mtu };
  return pieces.map((piece) => ({
    peer: row,
    port: format === "vxlan" ? flowPort(packet) : 0,
    tos: outerTos(piece.tos, peer.noEcn),
    data: wrap(format, world, peer, { ...piece, ttl: piece.ttl - 1 }),
  }));
}

function findPeer(format: Format, world: World, packet: IpPacket): Reason | number {
  if (format === "udp" && packet.version === 6) return "family";
  const { source, destination } = packet;
  // What a peer sent is never sent on.
  const origin =
    isOwnUnderlay(world, source) || isOwnBroadcast(world, source) ? null : longestMatch(world, source);
  if (nodeAt(world, source) !== null || (origin !== null && origin.to !== "local")) return "spoofed";
  if (nodeAt(world, destination) !== null || isOwnUnderlay(world, destination)) return "nested";
  if (isOwnBroadcast(world, destination)) return "bcast_mcast";
  const route = longestMatch(world, destination);
  if (route === null) return "no_route";
  return route.to === "local" ? "own_subnet" : route.to;
}

/**
 * What is to be told about a datagram that the underlay found too large, now that the path's MTU is known; null when
 * the next packet like it goes through, whole or in fragments.
 */
export function refused(
  format: Format,
  world: World,
  paths: Paths,
  nowMs: number,
  { peer: row, data }: Datagram,
): { readonly inner: Bytes; readonly refused: Refused } | null {
  const inner = format === "vxlan" ? data.slice(VXLAN_OVERHEAD) : data;
  const [packet, peer] = [parseIp(inner), world.peers[row]];
  if (typeof packet === "string" || peer === undefined) return null;
  const mtu = mtuTo(format, world, paths, nowMs, peer);
  if (totalLength(packet) <= mtu || typeof fragments([packet], mtu, 0) !== "string") return null;
  return { inner, refused: { reason: "too_big", packet, mtu } };
}

/** The largest inner packet that reaches a peer. */
function mtuTo(format: Format, { self }: World, paths: Paths, nowMs: number, peer: Peer): number {
  const path = paths.mtu(peer.address, nowMs);
  return path === null ? self.mtu : Math.max(Math.min(self.mtu, path - overhead(format, peer)), 0);
}

/** Bytes of the outer headers: IP, UDP and, for VXLAN, its own and Ethernet's. */
function overhead(format: Format, { address }: Peer): number {
  return (address.length === 4 ? 20 : 40) + 8 + (format === "vxlan" ? VXLAN_OVERHEAD : 0);
}

function single(packet: IpPacket, { partial }: Offload, mtu: number): Or<readonly IpPacket[]> {
  const header = headerLength(packet);
  if (partial !== null && (partial.start !== header || partial.offset + 2 > packet.payload.length)) {
    return "bad_offload";
  }
  const whole = partial === null ? packet : completed(packet, partial.offset);
  return totalLength(packet) <= mtu ? [whole] : fragments([whole], mtu, 0);
}

function superPacket(packet: IpPacket, offload: Offload, mtu: number): Or<readonly IpPacket[]> {
  const header = segmentHeaderLength(packet, offload);
  if (header === null) return "bad_offload";
  const segments = segment(packet, offload);
  return header + offload.mss <= mtu ? segments : fragments(segments, mtu, header - headerLength(packet));
}

/** Cuts packets, if they may be cut, so that the first fragment holds `least` bytes at least. */
function fragments(packets: readonly IpPacket[], mtu: number, least: number): Or<readonly IpPacket[]> {
  const cut: IpPacket[] = [];
  for (const packet of packets) {
    const pieces = packet.version === 6 || packet.dontFragment ? null : fragment(packet, mtu, least);
    if (pieces === null) return "too_big";
    cut.push(...pieces);
  }
  return cut;
}

/** Finishes a checksum of which the field holds the pseudo-header's sum. */
function completed(packet: IpPacket, offset: number): IpPacket {
  const sum = orOtherZero(checksum(packet.payload), packet.protocol);
  return { ...packet, payload: replaced(packet.payload, offset, be16(sum)) };
}

function wrap(format: Format, { self }: World, peer: Peer, packet: IpPacket): Bytes {
  const payload = writeIp(packet);
  if (format === "udp") return payload;
  const [source, ethertype] = packet.version === 4 ? [self.mac4, IPV4_TYPE] : [self.mac6, IPV6_TYPE];
  return writeFrame(self.vni, { destination: peer.mac, source, ethertype, payload });
}
