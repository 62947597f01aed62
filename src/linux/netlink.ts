/**
 * The kernel's links, addresses and routes, read and changed: the codec of `rtnetlink.ts` over the addon's netlink
 * socket. Every call is one request and its whole answer, and blocks for the microseconds that the kernel takes.
 */
import { getSystemErrorMap, getSystemErrorName } from "node:util";
import type { Native } from "../native/bindings.js";
import type { Ip } from "../net/ip.js";
import { type Ending, type Message, NLM_F_DUMP_INTR, parseEnding, parseMessages } from "./netlink-message.js";
import {
  type Address,
  type Link,
  type Route,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWROUTE,
  addressDump,
  linkDump,
  linkGet,
  parseAddress,
  parseLink,
  parseRoute,
  routeDump,
  routeGet,
} from "./rtnetlink.js";

const NETLINK_ROUTE = 0;

/** How often a dump is asked for again when the kernel's lists changed meanwhile, as they do while pods start. */
const DUMP_ATTEMPTS = 10;

/** The kernel refused a request; the message names what was attempted. Node's shape: `errno` is negative. */
export class NetlinkError extends Error {
  override readonly name = "NetlinkError";
  readonly code: string;
  readonly errno: number;
  readonly syscall = "netlink";

  constructor(attempt: string, { errno, text }: Ending) {
    const [code, meaning] = getSystemErrorMap().get(errno) ?? [getSystemErrorName(errno), "unknown error"];
    super(`cannot ${attempt}: ${code}: ${text ?? meaning}`);
    this.code = code;
    this.errno = errno;
  }
}

export class Netlink {
  constructor(private readonly native: Pick<Native, "netlink">) {}

  links(): Link[] {
    return this.#dump("list links", linkDump(), RTM_NEWLINK, parseLink);
  }

  /** One link; null when there is none of that index. */
  link(ifindex: number): Link | null {
    try {
      const messages = this.#exchange(`read link ${ifindex}`, linkGet(ifindex));
      const answer = messages.find(({ type }) => type === RTM_NEWLINK);
      return answer === undefined ? null : parseLink(answer.body);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === "ENODEV") return null;
      throw error;
    }
  }

  /** The IPv4 and IPv6 addresses of all links, in the kernel's order. */
  addresses(): Address[] {
    return this.#dump("list addresses", addressDump(), RTM_NEWADDR, parseAddress);
  }

  /** The IPv4 and IPv6 routes of all tables. */
  routes(): Route[] {
    return this.#dump("list routes", routeDump(), RTM_NEWROUTE, parseRoute);
  }

  /** The route that packets to an address take; throws ENETUNREACH when there is none. */
  routeTo(destination: Ip): Route {
    const attempt = `find the route to ${destination.text}`;
    for (const { type, body } of this.#exchange(attempt, routeGet(destination))) {
      const route = type === RTM_NEWROUTE ? parseRoute(body) : null;
      if (route !== null) return route;
    }
    throw new Error(`cannot ${attempt}: the kernel answered without one`);
  }

  /** Makes a change; `attempt` says which, for the error: "add address 10.5.1.0/32 to weft0". */
  change(attempt: string, request: Uint8Array): void {
    this.#exchange(attempt, request);
  }

  #dump<T>(attempt: string, request: Uint8Array, type: number, parse: (body: Uint8Array) => T | null): T[] {
    for (let left = DUMP_ATTEMPTS; left > 0; left--) {
      const messages = this.#exchange(attempt, request);
      if (messages.some((message) => (message.flags & NLM_F_DUMP_INTR) !== 0)) continue;
      return messages
        .map((message) => (message.type === type ? parse(message.body) : null))
        .filter((item) => item !== null);
    }
    throw new Error(`cannot ${attempt}: the list changed during each of ${DUMP_ATTEMPTS} attempts`);
  }

  /** The messages of an answer; throws a NetlinkError when it ends in one. */
  #exchange(attempt: string, request: Uint8Array): Message[] {
    const messages = this.native.netlink(NETLINK_ROUTE, request).flatMap(parseMessages);
    for (const message of messages) {
      const ending = parseEnding(message);
      if (ending !== null && ending.errno !== 0) throw new NetlinkError(attempt, ending);
    }
    return messages;
  }
}
