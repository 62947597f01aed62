/** Who answers for this host's overlay addresses: ARP (RFC 826) and IPv6 neighbour discovery (RFC 4861). */
import { be16, byte, type Bytes, equal, isZero, join, read16, replaced } from "./bytes.js";
import { checksum, pseudoHeader } from "./checksum.js";
import { ICMPV6, type IpPacket, writeIp } from "./ip.js";
import { ARP_TYPE, type Frame, IPV6_TYPE } from "./vxlan.js";
import { isOwnOverlay, type World } from "./world.js";

const SOLICITATION = 135;
const ADVERTISEMENT = 136;

/** Neighbour discovery never leaves its link: router and neighbour messages, and redirects. */
export function isNeighbourDiscovery({ protocol, fragment, payload }: IpPacket): boolean {
  const type = byte(payload, 0);
  return protocol === ICMPV6 && fragment === null && payload.length > 0 && type >= 133 && type <= 137;
}

/** The frame that answers an ARP packet; null unless it asks for an address of ours. */
export function answerArp(world: World, { payload }: Frame): Frame | null {
  // Ethernet, IPv4, six and four bytes, request.
  const request = Uint8Array.of(0, 1, 8, 0, 6, 4, 0, 1);
  if (payload.length < 28 || !equal(payload.slice(0, 8), request)) return null;
  const [asker, askerIp, wanted] = [payload.slice(8, 14), payload.slice(14, 18), payload.slice(24, 28)];
  if (!isOwnOverlay(world, wanted)) return null;
  const source = world.self.mac4;
  const reply = join(request.slice(0, 7), 2, source, wanted, asker, askerIp);
  return { destination: asker, source, ethertype: ARP_TYPE, payload: reply };
}

/** The frame that answers a neighbour solicitation; null unless it is a valid one (7.1.1) for an address of ours. */
export function answerSolicitation(world: World, frame: Frame, packet: IpPacket): Frame | null {
  const { source: asker, destination, payload, ttl } = packet;
  const wanted = payload.slice(8, 24);
  const valid =
    ttl === 255 &&
    payload.length >= 24 &&
    read16(payload, 0) === SOLICITATION * 256 &&
    optionsFill(payload.slice(24)) &&
    checksum(pseudoHeader(asker, destination, ICMPV6, payload.length), payload) === 0;
  if (!valid || isZero(asker) || !isOwnOverlay(world, wanted)) return null;
  const mac = world.self.mac6;
  // Router, solicited, override; then the target's link-layer address, in units of eight bytes.
  const body = join(ADVERTISEMENT, 0, be16(0), 0xe0, 0, 0, 0, wanted, 2, 1, mac);
  const reply = writeIp({
    version: 6,
    tos: 0,
    flowLabel: 0,
    nextHeader: ICMPV6,
    ttl: 255,
    source: wanted,
    destination: asker,
    extensions: [],
    protocol: ICMPV6,
    fragment: null,
    payload: replaced(body, 2, be16(checksum(pseudoHeader(wanted, asker, ICMPV6, body.length), body))),
  });
  return { destination: frame.source, source: mac, ethertype: IPV6_TYPE, payload: reply };
}

/** Options have a length in units of eight bytes, which is not zero, and fill the message. */
function optionsFill(options: Bytes): boolean {
  if (options.length === 0) return true;
  const length = byte(options, 1) * 8;
  return length > 0 && length <= options.length && optionsFill(options.slice(length));
}
