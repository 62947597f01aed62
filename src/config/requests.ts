/**
 * What `weft capture` and `weft trace` ask for: the query of a request to the admin socket, checked here and nowhere
 * else. A mistake is a ConfigError that names the option as the command line has it.
 */
import { ConfigError } from "./errors.js";
import { type Type, address, integer } from "./flag-types.js";
import { suggestion } from "./suggest.js";
import { type Cidr, cidr, network, parseCidr } from "../net/cidr.js";
import { type Ip, ipBits, parseIp } from "../net/ip.js";
import { PROTOCOL } from "../net/packet.js";

export type Direction = "tx" | "rx";

export interface CaptureRequest {
  /** Only what goes to or comes from this underlay address. */
  readonly peer: Ip | null;
  /** Only packets with an inner source or destination in here. */
  readonly address: Cidr | null;
  /** Only what is dropped for this reason. */
  readonly reason: string | null;
  readonly direction: Direction | null;
  /** Bounds: packets and seconds until the end, bytes kept of a packet. */
  readonly packets: number;
  readonly seconds: number;
  readonly snaplen: number;
}

export interface TraceRequest {
  readonly source: Ip;
  readonly destination: Ip;
  readonly protocol: number;
  /** Destination port; 0 where the protocol has none. */
  readonly port: number;
  /** Of the packet with its headers; null: just the headers. */
  readonly size: number | null;
}

/** What bounds a capture unless it is asked for otherwise. */
export const CAPTURE_DEFAULTS = { packets: 10_000, seconds: 60, snaplen: 2048 } as const;

const DIRECTIONS: readonly Direction[] = ["tx", "rx"];

const anyAddress = address("an IPv4 or IPv6 address", () => true);

const prefix: Type<Cidr> = {
  metavar: "IP|CIDR",
  expects: "an IPv4 or IPv6 address or prefix",
  parse: (value) => {
    const ip = parseIp(value);
    const written = ip === null ? parseCidr(value) : cidr(ip, ipBits(ip.family));
    return written === null ? null : network(written);
  },
};

const direction: Type<Direction> = {
  metavar: "tx|rx",
  expects: "tx (from the pods to other hosts) or rx",
  parse: (value) => DIRECTIONS.find((each) => each === value) ?? null,
};

const protocol: Type<number> = {
  metavar: "PROTO",
  expects: "tcp, udp, icmp, icmpv6 or a number between 0 and 255",
  parse: (value) =>
    Object.hasOwn(PROTOCOL, value)
      ? PROTOCOL[value as keyof typeof PROTOCOL]
      : integer("N", 0, 255).parse(value),
};

/** `reasons`: the names of all drop reasons. */
export function captureRequest(query: URLSearchParams, reasons: readonly string[]): CaptureRequest {
  checkNames(query, ["peer", "address", "reason", "direction", "packets", "seconds", "snaplen"]);
  const reason = query.get("reason");
  if (reason !== null && !reasons.includes(reason)) {
    throw new ConfigError(
      `--reason: there is no drop reason "${reason}"${suggestion(reason, reasons) || "; 'weft counters --all' lists them"}`,
    );
  }
  return {
    peer: read(query, "peer", anyAddress),
    address: read(query, "address", prefix),
    reason,
    direction: read(query, "direction", direction),
    packets: read(query, "packets", integer("N", 1, 100_000_000)) ?? CAPTURE_DEFAULTS.packets,
    seconds: read(query, "seconds", integer("N", 1, 86_400)) ?? CAPTURE_DEFAULTS.seconds,
    snaplen: read(query, "snaplen", integer("BYTES", 64, 65_536)) ?? CAPTURE_DEFAULTS.snaplen,
  };
}

export function traceRequest(query: URLSearchParams): TraceRequest {
  checkNames(query, ["src", "dst", "proto", "port", "size"]);
  const source = read(query, "src", anyAddress);
  const destination = read(query, "dst", anyAddress);
  if (source === null || destination === null) throw new ConfigError("a source and a destination are needed");
  if (source.family !== destination.family) {
    throw new ConfigError(`${source.text} and ${destination.text} are not of one address family`);
  }
  const echo = source.family === 4 ? PROTOCOL.icmp : PROTOCOL.icmpv6;
  const named = read(query, "proto", protocol) ?? echo;
  // "icmp" is what people call both.
  const proto = named === PROTOCOL.icmp ? echo : named;
  const port = read(query, "port", integer("PORT", 1, 65_535));
  const hasPorts = proto === PROTOCOL.tcp || proto === PROTOCOL.udp;
  if (port !== null && !hasPorts) throw new ConfigError("port: only tcp and udp have ports");
  return {
    source,
    destination,
    protocol: proto,
    port: port ?? (hasPorts ? 80 : 0),
    size: read(query, "size", integer("BYTES", source.family === 4 ? 20 : 40, 65_535)),
  };
}

function checkNames(query: URLSearchParams, known: readonly string[]): void {
  for (const name of query.keys()) {
    if (!known.includes(name) || query.getAll(name).length > 1) {
      throw new ConfigError(`${label(name)}: not known, or given twice`);
    }
  }
}

/** The value of an option; null when it was not given. */
function read<T>(query: URLSearchParams, name: string, { expects, parse }: Type<T>): T | null {
  const text = query.get(name);
  if (text === null) return null;
  const value = parse(text);
  if (value === null) throw new ConfigError(`${label(name)}: "${text}" is not ${expects}`);
  return value;
}

/** The words of `weft trace` that stand without dashes. */
const POSITIONAL = ["src", "dst", "proto", "port"];

function label(name: string): string {
  return POSITIONAL.includes(name) ? name : `--${name}`;
}
