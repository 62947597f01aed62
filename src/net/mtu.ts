/** What an encapsulation costs, in bytes of the underlay's MTU (contracts with flannel, and RFC 7348 section 5). */
import type { Family } from "./ip.js";

const IP_HEADER: Readonly<Record<Family, number>> = { 4: 20, 6: 40 };
const UDP_HEADER = 8;
/** VXLAN header and inner Ethernet header. */
const VXLAN_HEADERS = 8 + 14;

/**
 * The MTU of the TUN, the same for both inner families: what is left of the underlay's for the inner packet when it
 * travels over the largest of the outer headers in use.
 */
export function tunnelMtu(
  format: "udp" | "vxlan",
  underlayMtu: number,
  underlays: readonly Family[],
): number {
  const ipHeader = Math.max(...underlays.map((family) => IP_HEADER[family]));
  return underlayMtu - ipHeader - UDP_HEADER - (format === "vxlan" ? VXLAN_HEADERS : 0);
}
