/** VXLAN frames (RFC 7348 section 5): the header, and the Ethernet frame in it. */
import { be16, be32, byte, type Bytes, join, read16, read32 } from "./bytes.js";
import type { Or } from "./reasons.js";
import type { Self } from "./world.js";

export const IPV4_TYPE = 0x0800;
export const ARP_TYPE = 0x0806;
export const IPV6_TYPE = 0x86dd;

/** VXLAN header (8) and Ethernet header (14). */
export const VXLAN_OVERHEAD = 22;

export interface Frame {
  readonly destination: Bytes;
  readonly source: Bytes;
  readonly ethertype: number;
  readonly payload: Bytes;
}

export function writeFrame(vni: number, { destination, source, ethertype, payload }: Frame): Bytes {
  return join(be32(0x08000000), be32(vni * 256), destination, source, be16(ethertype), payload);
}

/** The frame in a datagram, after a check of flags and VNI as `self` admits them. */
export function parseFrame(data: Bytes, self: Self): Or<Frame> {
  if (data.length < VXLAN_OVERHEAD) return "runt";
  if (!flagsAllowed(data, self)) return "bad_vxlan";
  if (read32(data, 4) >>> 8 !== self.vni) return "bad_vni";
  return {
    destination: data.slice(8, 14),
    source: data.slice(14, 20),
    ethertype: read16(data, 20),
    payload: data.slice(VXLAN_OVERHEAD),
  };
}

/** The I flag, and nothing reserved. The group policy extension defines more bits of the first word. */
function flagsAllowed(data: Bytes, { admit }: Self): boolean {
  const flags = byte(data, 0);
  if (admit.lenient) return (flags & 0x08) !== 0;
  if (byte(data, 7) !== 0) return false;
  // Group policy: its flag (the highest bit), the don't-learn and policy-applied bits, and the group's number.
  return admit.gbp ? (flags & 0x7f) === 0x08 : read32(data, 0) === 0x08000000;
}
