/** IPv4 fragmentation (RFC 791 3.2), as net/ipv4/ip_output.c does it on the way out of a router. */
import { headerLength, type Ipv4 } from "./ip.js";
import { optionsOfLaterFragments } from "./ipv4-options.js";

/**
 * The fragments of a packet, at most `mtu` bytes each; a fragment is cut further, and what fits stays as it is. Null
 * when the first of several could not hold the IP header and `least` bytes.
 */
export function fragment(packet: Ipv4, mtu: number, least: number): Ipv4[] | null {
  const space = mtu - headerLength(packet);
  const room = Math.floor(space / 8) * 8;
  if (room < Math.max(least, 8)) return null;
  if (packet.payload.length <= space) return [packet];
  const start = packet.fragment?.offset ?? 0;
  const { payload } = packet;
  const fragments: Ipv4[] = [];
  for (let at = 0, last = false; !last; at += room) {
    last = at + space >= payload.length;
    fragments.push({
      ...packet,
      reservedFlag: false,
      options: at === 0 ? packet.options : optionsOfLaterFragments(packet.options),
      // The field has 13 bits, and so wraps where a packet claims to reach beyond 65535 bytes.
      fragment: { offset: (start + at) % 0x10000, more: !last || packet.fragment?.more === true },
      payload: payload.slice(at, last ? payload.length : at + room),
    });
  }
  return fragments;
}
