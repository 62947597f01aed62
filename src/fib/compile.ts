/**
 * Leases → the tables that the workers use: which tunnel endpoints there are, and which prefix goes to which. Pure:
 * the same leases give the same tables. `dataplane/` packs and publishes them.
 */
import type { PeerAlias } from "../config/options.js";
import type { Endpoint, Lease, LeasedSubnet } from "../lease/lease.js";
import { type Cidr, addressAt } from "../net/cidr.js";
import type { Family, Ip } from "../net/ip.js";

/** What is let in from peers beyond the strict rules. */
export interface Admission {
  /** Inner sources that nobody leases. */
  readonly external: boolean;
  /** Any inner source MAC. */
  readonly bridged: boolean;
  /** VXLAN headers of which only the I flag is as it should be. */
  readonly lenient: boolean;
  /** The bits of VXLAN's Group Based Policy. */
  readonly gbp: boolean;
}

/** This node, as the dataplane needs it. Absent addresses and MACs are null. */
export interface SelfRow {
  /** 0 in udp format. */
  readonly vni: number;
  /** MTU of the TUN: the largest inner packet, in bytes. */
  readonly mtu: number;
  /** Underlay addresses to send from; null: the kernel chooses. */
  readonly source4: Ip | null;
  readonly source6: Ip | null;
  /** The TUN's own addresses: the network addresses of the own subnets. */
  readonly address4: Ip | null;
  readonly address6: Ip | null;
  /** The first addresses of the own subnets, which pods use as gateways. */
  readonly gateway4: Ip | null;
  readonly gateway6: Ip | null;
  /** MACs of this VTEP, for inner IPv4 and inner IPv6. */
  readonly mac4: Uint8Array | null;
  readonly mac6: Uint8Array | null;
  /** UDP port of the tunnel. */
  readonly port: number;
  readonly admit: Admission;
}

/** A tunnel endpoint or an alias of one. Rows of one host share `node` and stand next to each other. */
export interface PeerRow extends Endpoint {
  readonly node: number;
}

/** A prefix and the index of the peer that has it; null: this host. */
export interface RouteRow {
  readonly prefix: Cidr;
  readonly peer: number | null;
}

export interface Tables {
  readonly self: SelfRow;
  readonly peers: readonly PeerRow[];
  readonly routes: readonly RouteRow[];
  /** Keys of the leases, by `PeerRow.node`. */
  readonly nodes: readonly string[];
  readonly unusedAliases: readonly UnusedAlias[];
}

/** An alias that has no row, and why, as a sentence. */
export interface UnusedAlias {
  readonly alias: PeerAlias;
  readonly message: string;
}

export interface CompileInput {
  readonly vni: number | null;
  readonly mtu: number;
  readonly port: number;
  readonly admit: Admission;
  readonly source4: Ip | null;
  readonly source6: Ip | null;
  readonly own: Lease;
  /** Oldest first. */
  readonly peers: readonly Lease[];
  readonly aliases: readonly PeerAlias[];
}

/**
 * Compiles tables. Several leases through one address are one peer, with the MAC of the youngest: a host that took
 * another subnet leaves its old lease behind. A lease through one of this host's own addresses is left out, so that
 * nothing is ever encapsulated towards ourselves. An alias is a further row of its peer, which no route points to.
 */
export function compileTables(input: CompileInput): Tables {
  const ownAddresses = addressesOf(input);
  const nodes: string[] = [];
  const ends = new Map<string, End>();
  const remote: LeasedSubnet[] = [];
  const through: End[] = [];
  for (const { key, subnets } of input.peers) {
    let node = nodeOf(subnets, ends);
    for (const subnet of subnets) {
      const { address, mac, ecn } = subnet.via;
      if (ownAddresses.has(address.text)) continue;
      node ??= nodes.length;
      nodes[node] = key;
      let end = ends.get(address.text);
      if (end === undefined) ends.set(address.text, (end = { address, mac, ecn, node, row: -1 }));
      // The end of another node stays there: rows of one address would be ambiguous.
      end.mac = mac;
      end.ecn = ecn;
      remote.push(subnet);
      through.push(end);
    }
  }

  const unusedAliases = input.aliases.flatMap((alias) => {
    const message = whyUnused(alias, ownAddresses, ends, nodes);
    return message === null ? [] : [{ alias, message }];
  });
  const aliases = input.aliases.filter((alias) => !unusedAliases.some((unused) => unused.alias === alias));
  const peers: PeerRow[] = [];
  for (const end of [...ends.values()].sort((a, b) => a.node - b.node)) {
    end.row = peers.push(end) - 1;
    for (const { address, publicAddress } of aliases) {
      if (publicAddress.text === end.address.text) peers.push({ ...end, address });
    }
  }
  return {
    self: compileSelf(input),
    peers,
    routes: [
      ...input.own.subnets.map(({ prefix }) => ({ prefix, peer: null })),
      ...remote.map(({ prefix }, index) => ({ prefix, peer: through[index]?.row ?? null })),
    ],
    nodes,
    unusedAliases,
  };
}

/** A peer's row while it is made: the MAC is that of the youngest lease, and the place is known in the end. */
type End = { -readonly [name in keyof PeerRow]: PeerRow[name] } & { row: number };

/** The node that has one of these endpoints already; null when there is none. */
function nodeOf(subnets: readonly LeasedSubnet[], ends: ReadonlyMap<string, End>): number | null {
  for (const { via } of subnets) {
    const end = ends.get(via.address.text);
    if (end !== undefined) return end.node;
  }
  return null;
}

/** This host's addresses on the underlay: the published ones and those of its interface. */
export function addressesOf({ own, source4, source6 }: CompileInput): ReadonlySet<string> {
  const all = [...own.subnets.map(({ via }) => via.address), source4, source6];
  return new Set(all.flatMap((ip) => (ip === null ? [] : [ip.text])));
}

function whyUnused(
  { address, publicAddress }: PeerAlias,
  ownAddresses: ReadonlySet<string>,
  ends: ReadonlyMap<string, PeerRow>,
  nodes: readonly string[],
): string | null {
  if (ownAddresses.has(address.text)) return `${address.text} is this host's own address`;
  const holder = ends.get(address.text);
  if (holder !== undefined) return `${address.text} is the public address of ${nodes[holder.node] ?? ""}`;
  return ends.has(publicAddress.text) ? null : `no peer has the public address ${publicAddress.text}`;
}

function compileSelf({ vni, mtu, port, admit, source4, source6, own }: CompileInput): SelfRow {
  const of = (family: Family): LeasedSubnet | undefined =>
    own.subnets.find(({ prefix }) => prefix.ip.family === family);
  const [ipv4, ipv6] = [of(4), of(6)];
  return {
    vni: vni ?? 0,
    mtu,
    source4,
    source6,
    address4: ipv4?.prefix.ip ?? null,
    address6: ipv6?.prefix.ip ?? null,
    gateway4: ipv4 === undefined ? null : addressAt(ipv4.prefix, 1n),
    gateway6: ipv6 === undefined ? null : addressAt(ipv6.prefix, 1n),
    mac4: (ipv4 ?? ipv6)?.via.mac ?? null,
    mac6: (ipv6 ?? ipv4)?.via.mac ?? null,
    port,
    admit,
  };
}
