/** ICMP (RFC 792, 1812) and ICMPv6 (RFC 4443) errors about packets of local senders. */
import { be16, be32, byte, type Bytes, isZero, join, replaced } from "./bytes.js";
import { checksum, pseudoHeader } from "./checksum.js";
import { ICMP, ICMPV6, type IpPacket, isLaterFragment, writeIp } from "./ip.js";
import type { Reason } from "./reasons.js";
import { isOwnBroadcast, type World } from "./world.js";

/** Type and code in either family. */
const kinds: Partial<
  Record<Reason, readonly [icmp: readonly [number, number], icmpv6: readonly [number, number]]>
> = {
  no_route: [
    [3, 0],
    [1, 0],
  ],
  own_subnet: [
    [3, 1],
    [1, 3],
  ],
  family: [
    [3, 0],
    [1, 0],
  ],
  ttl: [
    [11, 0],
    [3, 0],
  ],
  too_big: [
    [3, 4],
    [2, 0],
  ],
  nested: [
    [3, 13],
    [1, 1],
  ],
};

/** RFC 4443 2.4(c): at most the minimum MTU. RFC 1812 4.3.2.3: at most 576 bytes. */
const LONGEST = { 4: 576, 6: 1280 } as const;

/**
 * The error about a packet dropped for `reason`, or null when none may be sent. `original` is the packet as it came,
 * without padding; `mtu` is what fits, for those that are too big.
 */
export function icmpError(
  reason: Reason,
  packet: IpPacket,
  original: Bytes,
  world: World,
  mtu: number,
): Bytes | null {
  const { self } = world;
  const kind = kinds[reason];
  const { version } = packet;
  const source = version === 4 ? self.address4 : self.address6;
  // RFC 1812 4.3.2.7: never to what is no single host. Other such sources are martians.
  const toNobody = isOwnBroadcast(world, packet.source);
  if (kind === undefined || isZero(source) || toNobody) return null;
  if (isLaterFragment(packet) || isIcmpError(packet)) return null;
  const [type, code] = kind[version === 4 ? 0 : 1];
  const told = reason !== "too_big" ? 0 : version === 4 ? mtu : Math.max(mtu, 1280);
  const quote = original.slice(0, LONGEST[version] - (version === 4 ? 28 : 48));
  const body = join(type, code, be16(0), be32(told), quote);
  const common = { source, destination: packet.source, ttl: 64, fragment: null } as const;
  if (version === 4) {
    // RFC 1812 4.3.2.5: precedence "internetwork control".
    const fields = { id: 0, dontFragment: false, reservedFlag: false, options: new Uint8Array() } as const;
    const payload = replaced(body, 2, be16(checksum(body)));
    return writeIp({ version, ...common, ...fields, tos: 0xc0, protocol: ICMP, payload });
  }
  const pseudo = pseudoHeader(source, packet.source, ICMPV6, body.length);
  const payload = replaced(body, 2, be16(checksum(pseudo, body)));
  const fields = { flowLabel: 0, nextHeader: ICMPV6, extensions: [] } as const;
  return writeIp({ version, ...common, ...fields, tos: 0, protocol: ICMPV6, payload });
}

/** RFC 1122 3.2.2, RFC 4443 2.4(e): no errors about errors and redirects. One too short to tell counts as one. */
function isIcmpError({ protocol, payload }: IpPacket): boolean {
  const type = byte(payload, 0);
  if (protocol === ICMP) return payload.length === 0 || [3, 4, 5, 11, 12].includes(type);
  return protocol === ICMPV6 && (payload.length === 0 || type < 128 || type === 137);
}
