/**
 * The peers file: network, backend and all nodes of an overlay in one YAML file, the same on every host.
 *
 *     network: 10.5.0.0/16        # and/or ipv6Network
 *     backend: { type: vxlan }    # port, vni, mtu, gbp; udp when left out
 *     nodes:
 *       - name: alpha
 *         address: 192.0.2.1
 *         subnets: [10.5.1.0/24]
 *
 * Read in three steps: YAML, the shape of the fields, the rules between them. Each error names file and line.
 */
import * as v from "valibot";
import { type Document, LineCounter, parseDocument } from "yaml";
import { ConfigError } from "../config/errors.js";
import {
  type Backend,
  longestSubnet,
  makeBackend,
  makePool,
  type NetworkConfig,
  type Pool,
  overlayAround,
} from "../config/network-config.js";
import type { Lease } from "../lease/lease.js";
import { type Cidr, contains, network, overlaps, parseCidr } from "../net/cidr.js";
import { type Family, type Ip, ipToBigInt, isUnicast, parseIp } from "../net/ip.js";
import { deriveMac, formatMac, parseMac } from "../net/mac.js";

export interface PeersFile {
  readonly config: NetworkConfig;
  /** The name of the node that reads the file; null = found by its address. */
  readonly self: string | null;
  /** One lease per node, in the file's order; the key is the node's name. */
  readonly nodes: readonly PeersNode[];
}

export interface PeersNode {
  readonly address: Ip;
  readonly lease: Lease;
}

const integer = v.optional(v.nullable(v.pipe(v.number(), v.integer())), null);
const SHAPE = v.strictObject({
  network: v.optional(v.string()),
  ipv6Network: v.optional(v.string()),
  backend: v.optional(
    v.strictObject({
      type: v.optional(v.string(), "udp"),
      port: integer,
      vni: integer,
      mtu: integer,
      gbp: v.optional(v.boolean(), false),
    }),
    { type: "udp" },
  ),
  self: v.optional(v.string()),
  nodes: v.array(
    v.strictObject({
      name: v.pipe(v.string(), v.minLength(1)),
      address: v.string(),
      subnets: v.pipe(v.array(v.string()), v.minLength(1)),
      mac: v.optional(v.string()),
    }),
  ),
});
type Shape = v.InferOutput<typeof SHAPE>;
type Path = readonly (string | number)[];

/** Parses the text of a peers file; `file` is its name for errors. Throws a ConfigError. */
export function parsePeersFile(text: string, file: string): PeersFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const failAt = (offset: number, message: string): never => {
    throw new ConfigError(`${file}:${Math.max(lines.linePos(offset).line, 1)}: ${message}`);
  };
  const [syntax] = document.errors;
  if (syntax !== undefined) return failAt(syntax.pos[0], syntax.message);
  const fail = (path: Path, message: string): never => failAt(offsetOf(document, path), message);
  const result = v.safeParse(SHAPE, document.toJS());
  if (result.success) return new Reader(result.output, fail).read();
  const [issue] = result.issues;
  const path = (issue.path ?? []).map(({ key }) => key as string | number);
  return fail(path, `${path.join(".")}: ${issue.message}`);
}

/** Where in the text a field stands, or the nearest one around it. */
function offsetOf(document: Document, path: Path): number {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as
      { range?: [number, number, number] } | undefined;
    if (node?.range !== undefined) return node.range[0];
  }
  return 0;
}

/** The rules between the fields. */
class Reader {
  constructor(
    private readonly shape: Shape,
    private readonly fail: (path: Path, message: string) => never,
  ) {}

  read(): PeersFile {
    const { shape } = this;
    const backend = this.at(["backend"], () => makeBackend(shape.backend));
    const ipv4 = this.pool("network", 4);
    const ipv6 = this.pool("ipv6Network", 6);
    if (ipv4 === null && ipv6 === null) this.fail([], "network or ipv6Network is missing");
    if (ipv6 !== null && backend.type === "udp") this.fail(["ipv6Network"], UDP_IS_IPV4);
    const config = { ipv4, ipv6, backend, warnings: [] };
    const nodes = shape.nodes.map((_, index) => this.node(config, index));
    this.unique(
      nodes.map(({ lease }) => lease.key),
      "name",
    );
    this.unique(
      nodes.map(({ address }) => address.text),
      "address",
    );
    this.unique(
      nodes.map(({ lease }) => macText(lease)),
      "mac",
    );
    this.refuseOverlaps(nodes);
    this.refuseMixedUnderlays(nodes);
    const self = shape.self ?? null;
    if (self !== null && !nodes.some(({ lease }) => lease.key === self)) {
      this.fail(["self"], `there is no node "${self}"`);
    }
    return { config, self, nodes };
  }

  private pool(field: "network" | "ipv6Network", family: Family): Pool | null {
    const text = this.shape[field];
    if (text === undefined) return null;
    const prefix = parseCidr(text);
    if (prefix?.ip.family !== family)
      return this.fail([field], `${field}: "${text}" is no IPv${family} network`);
    return this.at([field], () => makePool({ network: prefix, subnetLen: null, min: null, max: null }));
  }

  private node(config: NetworkConfig, index: number): PeersNode {
    const {
      name,
      address: addressText,
      subnets,
      mac: macText,
    } = this.shape.nodes[index] as Shape["nodes"][number];
    const { backend } = config;
    const path = (...rest: Path): Path => ["nodes", index, ...rest];
    const address = parseIp(addressText);
    if (address === null || !isUnicast(address)) {
      return this.fail(path("address"), `${name}: "${addressText}" is no address that a host may have`);
    }
    if (address.family === 6 && backend.type === "udp") this.fail(path("address"), UDP_IS_IPV4);
    const around = overlayAround(config, address);
    if (around !== null) {
      this.fail(path("address"), `${name}: ${address.text} lies inside the overlay ${around.text}`);
    }
    const prefixes = subnets.map((text, place) => this.subnet(config, text, path("subnets", place)));
    if (new Set(prefixes.map(({ ip }) => ip.family)).size < prefixes.length) {
      this.fail(path("subnets"), `${name}: one subnet per address family`);
    }
    const mac = this.mac(backend, macText, address, path("mac"));
    return {
      address,
      lease: {
        key: name,
        subnets: prefixes.map((prefix) => ({ prefix, via: { address, mac, ecn: true } })),
        backend: backend.type,
        vni: backend.vni,
      },
    };
  }

  private subnet(config: NetworkConfig, text: string, path: Path): Cidr {
    const prefix = parseCidr(text);
    if (prefix === null) return this.fail(path, `"${text}" is no subnet`);
    const { family } = prefix.ip;
    if (family === 6 && config.backend.type === "udp") this.fail(path, UDP_IS_IPV4);
    const base = network(prefix);
    if (base.text !== prefix.text) this.fail(path, `${prefix.text} has host bits set: write ${base.text}`);
    const pool = family === 4 ? config.ipv4 : config.ipv6;
    if (pool === null) return this.fail(path, `${prefix.text}: the file has no IPv${family} network`);
    if (!contains(pool.network, prefix)) this.fail(path, `${prefix.text} is not inside ${pool.network.text}`);
    if (prefix.length > longestSubnet(family)) {
      this.fail(path, `${prefix.text} is too small: /${longestSubnet(family)} at least`);
    }
    return prefix;
  }

  private mac(backend: Backend, text: string | undefined, address: Ip, path: Path): Uint8Array | null {
    if (backend.vni === null) {
      return text === undefined ? null : this.fail(path, "the udp format has no MAC addresses");
    }
    if (text === undefined) return deriveMac(backend.vni, address);
    return parseMac(text) ?? this.fail(path, `"${text}" is no MAC address of an interface`);
  }

  /** `values` holds one per node, null for none. */
  private unique(values: readonly (string | null)[], field: "name" | "address" | "mac"): void {
    const holders = new Map<string, number>();
    for (const [index, value] of values.entries()) {
      if (value === null) continue;
      const holder = holders.get(value);
      if (holder !== undefined) {
        const name = this.shape.nodes[holder]?.name ?? "";
        this.fail(
          ["nodes", index, field],
          `${field} ${value} is already that of node ${holder + 1}, ${name}`,
        );
      }
      holders.set(value, index);
    }
  }

  private refuseOverlaps(nodes: readonly PeersNode[]): void {
    const all = nodes.flatMap(({ lease }, index) =>
      lease.subnets.map(({ prefix }, place) => ({ prefix, lease, path: ["nodes", index, "subnets", place] })),
    );
    // Sorted by start, a prefix that overlaps any other overlaps a neighbour.
    all.sort((a, b) => compareStart(a.prefix, b.prefix));
    for (const [index, { prefix, lease, path }] of all.entries()) {
      const before = all[index - 1];
      if (before !== undefined && overlaps(before.prefix, prefix)) {
        this.fail(path, `${lease.key}: ${prefix.text} overlaps ${before.prefix.text} of ${before.lease.key}`);
      }
    }
  }

  /** The outer header's size decides the MTU of the overlay, which has one. */
  private refuseMixedUnderlays(nodes: readonly PeersNode[]): void {
    const family = nodes[0]?.address.family;
    const other = nodes.findIndex(({ address }) => address.family !== family);
    if (other === -1) return;
    this.fail(
      ["nodes", other, "address"],
      `${nodes[other]?.address.text ?? ""}: the addresses of all nodes must be of one family`,
    );
  }

  /** Gives the errors of `task` their line. */
  private at<T>(path: Path, task: () => T): T {
    try {
      return task();
    } catch (error) {
      if (error instanceof ConfigError) this.fail(path, error.message);
      throw error;
    }
  }
}

const UDP_IS_IPV4 = "the udp format carries IPv4 over IPv4 only; use backend type vxlan for IPv6";

function macText(lease: Lease): string | null {
  const mac = lease.subnets[0]?.via.mac ?? null;
  return mac === null ? null : formatMac(mac);
}

function compareStart(a: Cidr, b: Cidr): number {
  if (a.ip.family !== b.ip.family) return a.ip.family - b.ip.family;
  const [startA, startB] = [ipToBigInt(a.ip), ipToBigInt(b.ip)];
  return startA === startB ? a.length - b.length : startA < startB ? -1 : 1;
}
