/** Which addresses may travel between hosts at all (RFC 1122 3.2.1.3, RFC 4291 2.5). */
import { byte, type Bytes, equal, isZero, join } from "./bytes.js";
import type { IpPacket } from "./ip.js";
import type { Reason } from "./reasons.js";

type Kind = "unicast" | "multicast" | "broadcast" | "forbidden";

/** Null when both addresses of a packet may travel. */
export function checkAddresses({ version, source, destination }: IpPacket): Reason | null {
  const kind = version === 4 ? kind4 : kind6;
  const [from, to] = [kind(source), kind(destination)];
  // IPv6 hosts send to multicast groups from :: and link-local addresses all the time: no reason to speak of martians.
  if (version === 6 && to === "multicast") return "bcast_mcast";
  if (from !== "unicast") return "martian";
  if (to === "multicast" || to === "broadcast") return "bcast_mcast";
  return to === "forbidden" ? "martian" : null;
}

/** An IPv4 address as the IPv6 one that stands for it, ::ffff:a.b.c.d; IPv6 as it is. */
export function mapped(address: Bytes): Bytes {
  return address.length === 16 ? address : join(new Uint8Array(10), 0xff, 0xff, address);
}

function kind4(address: Bytes): Kind {
  const first = byte(address, 0);
  if (address.every((value) => value === 255)) return "broadcast";
  if (first >= 224 && first <= 239) return "multicast";
  return first === 0 || first === 127 || first >= 240 ? "forbidden" : "unicast";
}

function kind6(address: Bytes): Kind {
  if (address[0] === 0xff) return "multicast";
  const unspecifiedOrLoopback = isZero(address.subarray(0, 15)) && byte(address, 15) <= 1;
  const linkLocal = address[0] === 0xfe && byte(address, 1) >> 6 === 2;
  const mappedIpv4 = equal(address, mapped(address.subarray(12)));
  return unspecifiedOrLoopback || linkLocal || mappedIpv4 ? "forbidden" : "unicast";
}
