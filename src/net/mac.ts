/** Ethernet addresses of VTEPs: text to bytes and back, and the stable one of a node that has none yet. */
import { createHash } from "node:crypto";
import type { Ip } from "./ip.js";

/** Parses `aa:bb:cc:dd:ee:ff`, any case; null for anything else and for addresses no interface may have. */
export function parseMac(text: string): Uint8Array | null {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return null;
  const bytes = new Uint8Array(Buffer.from(text.replaceAll(":", ""), "hex"));
  const multicast = ((bytes[0] ?? 0) & 1) === 1;
  return multicast || bytes.every((byte) => byte === 0) ? null : bytes;
}

/** Lower-case text with colons. */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/**
 * The VTEP MAC of a node that has no lease yet: derived from VNI and public address (whose family is part of it), so
 * that a restart does not change it. A TUN has no MAC of its own; a new one per start would black-hole peers that
 * were cut off meanwhile. Locally administered and unicast (IEEE 802 bits set accordingly).
 */
export function deriveMac(vni: number, publicIp: Ip): Uint8Array {
  const digest = createHash("sha256").update(`weft vtep ${vni} ${publicIp.text}`).digest();
  const mac = new Uint8Array(digest.subarray(0, 6));
  mac[0] = ((mac[0] ?? 0) & 0xfc) | 0x02;
  return mac;
}
