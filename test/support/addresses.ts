/** Addresses and prefixes that a test writes down: parsed, or the test is wrong. */
import { type Cidr, parseCidr } from "../../src/net/cidr.js";
import { type Ip, parseIp } from "../../src/net/ip.js";

export function ip(text: string): Ip {
  return parseIp(text) ?? wrong(text);
}

export function prefix(text: string): Cidr {
  return parseCidr(text) ?? wrong(text);
}

function wrong(text: string): never {
  throw new Error(`${text} is no address or prefix`);
}
