/** What becomes of a datagram from the underlay, in the order in which it is looked at. */
import { checkAddresses } from "./addresses.js";
import { byte, type Bytes, equal, isZero, read16 } from "./bytes.js";
import type { Admitted } from "./coalesce.js";
import { decapsulatedTos } from "./ecn.js";
import { headerLength, type IpPacket, isLaterFragment, parseIp, TCP, totalLength, UDP } from "./ip.js";
import { answerArp, answerSolicitation, isNeighbourDiscovery } from "./neighbour.js";
import type { Or, Reason } from "./reasons.js";
import { checksumState, noOffload, type Offload, withPartialChecksum } from "./transport.js";
import type { Format } from "./tx.js";
import { ARP_TYPE, type Frame, IPV4_TYPE, IPV6_TYPE, parseFrame, VXLAN_OVERHEAD } from "./vxlan.js";
import {
  isOwnBroadcast,
  isOwnOverlay,
  isOwnUnderlay,
  longestMatch,
  nodeAt,
  type Peer,
  type World,
} from "./world.js";

export interface Received {
  /** Outer source address. */
  readonly source: Bytes;
  readonly data: Bytes;
  /** Of the datagrams that the kernel handed over as one; 0 for a single one. */
  readonly groSize: number;
  readonly tos: number;
}

/** A frame that answers the sender, if the answer's bucket has a token left. */
export interface Answer {
  readonly answer: Frame;
}

/**
 * The datagrams in what the kernel handed over. One whose inner packet fills all of it is a super-packet of a kernel
 * on the same machine: then the size is that of the inner segments, and it must not be cut.
 */
export function split(format: Format, data: Bytes, groSize: number): Bytes[] {
  if (groSize === 0 || groSize >= data.length) return [data];
  const inner = parseIp(data.subarray(format === "vxlan" ? VXLAN_OVERHEAD : 0));
  const overhead = format === "vxlan" ? VXLAN_OVERHEAD : 0;
  if (typeof inner !== "string" && totalLength(inner) === data.length - overhead) return [data];
  return [data.slice(0, groSize), ...split(format, data.slice(groSize), groSize)];
}

/** The packet for the TUN, an answer to the sender, or why neither. */
export function decapsulate(format: Format, world: World | null, datagram: Received): Or<Admitted | Answer> {
  if (world === null) return "not_ready";
  const node = nodeAt(world, datagram.source);
  if (node === null) return "unknown_peer";
  if (format === "vxlan") return decapsulateFrame(world, node, datagram);
  const packet = parseIp(datagram.data);
  if (typeof packet === "string") return packet;
  return packet.version === 6 ? "ethertype" : admit(world, node, datagram, packet);
}

function decapsulateFrame(world: World, node: number, datagram: Received): Or<Admitted | Answer> {
  const frame = parseFrame(datagram.data, world.self);
  if (typeof frame === "string") return frame;
  if (frame.ethertype === ARP_TYPE) return answered(answerArp(world, frame));
  if (frame.ethertype !== IPV4_TYPE && frame.ethertype !== IPV6_TYPE) return "ethertype";
  const packet = parseIp(frame.payload);
  if (typeof packet === "string") return packet;
  if (packet.version !== (frame.ethertype === IPV4_TYPE ? 4 : 6)) return "bad_header";
  if (isNeighbourDiscovery(packet)) return answered(answerSolicitation(world, frame, packet));
  return checkMacs(world, node, frame) ?? admit(world, node, datagram, packet);
}

function answered(answer: Frame | null): Or<Answer> {
  return answer === null ? "neighbour" : { answer };
}

/** The frame must be from one of the sender's VTEPs to one of ours. */
function checkMacs({ self, peers }: World, node: number, { destination, source }: Frame): Reason | null {
  const group = (mac: Bytes): boolean => (byte(mac, 0) & 1) !== 0;
  if (![self.mac4, self.mac6].some((mac) => equal(mac, destination))) {
    return group(destination) ? "bcast_mcast" : "bad_mac";
  }
  if (self.admit.bridged && !group(source) && !isZero(source)) return null;
  const known = (peer: Peer): boolean => peer.node === node && equal(peer.mac, source);
  return peers.some(known) ? null : "bad_mac";
}

function admit(world: World, node: number, datagram: Received, packet: IpPacket): Or<Admitted> {
  const wrong =
    checkAddresses(packet) ??
    (packet.ttl === 0 ? "ttl" : null) ??
    checkSource(world, node, packet.source) ??
    checkDestination(world, packet);
  if (wrong !== null) return wrong;
  const tos = decapsulatedTos(packet.tos, datagram.tos);
  if (tos === null) return "ecn";
  return restoreOffload({ ...packet, tos }, world.self.mtu, datagram.groSize);
}

/** The inner source must be the sender's: in a subnet it leases, or one of its underlay addresses. */
function checkSource(world: World, node: number, source: Bytes): Reason | null {
  const route = longestMatch(world, source);
  const own = isOwnUnderlay(world, source) || isOwnBroadcast(world, source) || route?.to === "local";
  if (own) return "martian";
  const owner = nodeAt(world, source) ?? (route === null ? null : (world.peers[route.to]?.node ?? null));
  if (owner === null) return world.self.admit.external ? null : "spoofed";
  return owner === node ? null : "spoofed";
}

function checkDestination(world: World, packet: IpPacket): Reason | null {
  const { destination } = packet;
  if (nodeAt(world, destination) !== null || isOwnUnderlay(world, destination)) return "nested";
  if (isOwnBroadcast(world, destination)) return "bcast_mcast";
  if (longestMatch(world, destination)?.to !== "local") return "not_local";
  return isOwnOverlay(world, destination) && isForPort(packet, world.self.port) ? "nested" : null;
}

function isForPort(packet: IpPacket, port: number): boolean {
  const { protocol, payload } = packet;
  return protocol === UDP && !isLaterFragment(packet) && payload.length >= 4 && read16(payload, 2) === port;
}

/**
 * What a sender behind offloads left undone is passed on as such: a packet of a peer on the same machine may come
 * with a partial checksum, or whole although larger than our MTU, and then with the size to cut it to.
 */
function restoreOffload(packet: IpPacket, mtu: number, groSize: number): Or<Admitted> {
  const state = checksumState(packet);
  const large = totalLength(packet) > mtu && packet.fragment === null;
  if (large && state === "bad") return "bad_checksum";
  const verified = state === "good" || state === "partial";
  if (state !== "partial" && !(large && verified)) return { packet, offload: noOffload, verified };
  const size = large ? segmentSize(packet, mtu, groSize) : null;
  if (typeof size === "string") return size;
  const { packet: unfinished, partial } = withPartialChecksum(packet);
  return { packet: unfinished, offload: { ...(size ?? noOffload), partial }, verified };
}

/** What a packet larger than the MTU is to be cut into; null when nobody said, and it is passed on whole. */
function segmentSize(
  packet: IpPacket,
  mtu: number,
  groSize: number,
): Or<Pick<Offload, "gso" | "mss">> | null {
  if (packet.protocol === TCP) {
    const tcp = (byte(packet.payload, 12) >> 4) * 4;
    const header = headerLength(packet) + tcp;
    return tcp < 20 || header >= mtu ? "bad_header" : { gso: "tcp", mss: mtu - header };
  }
  const fits = groSize !== 0 && groSize + headerLength(packet) + 8 <= mtu;
  return fits ? { gso: "udp", mss: groSize } : null;
}
