/** Flow entropy: the source port, one of 16, that a packet's datagrams leave from in VXLAN (RFC 7348 section 5). */
import { read32 } from "./bytes.js";
import { type IpPacket, TCP, UDP } from "./ip.js";

/** The same for every packet of a flow: made of addresses, protocol and, except in fragments, TCP or UDP ports. */
export function flowPort({ source, destination, protocol, fragment, payload }: IpPacket): number {
  const hasPorts = (protocol === TCP || protocol === UDP) && fragment === null && payload.length >= 4;
  const words = [protocol];
  for (let at = 0; at < source.length; at += 4) words.push(read32(source, at), read32(destination, at));
  if (hasPorts) words.push(read32(payload, 0));
  return words.reduce(mix, 0) >>> 28;
}

function mix(hash: number, word: number): number {
  return Math.imul(((hash << 5) | (hash >>> 27)) ^ word, 0x9e3779b1);
}
