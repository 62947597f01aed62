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
  const hosts = new Map<string, Host>();
  const remote: LeasedSubnet[] = [];
  for (const lease of input.peers) {
    const subnets = lease.subnets.filter(({ via }) => !ownAddresses.has(via.address.text));
    mergeHost(hosts, lease.key, subnets);
    remote.push(...subnets);
  }

  const peers: PeerRow[] = [];
  const nodes: string[] = [];
  const index = new Map<string, number>();
  const unusedAliases = input.aliases.flatMap((alias) => {
    const message = whyUnused(alias, ownAddresses, hosts);
    return message === null ? [] : [{ alias, message }];
  });
  const aliases = input.aliases.filter((alias) => !unusedAliases.some((unused) => unused.alias === alias));
  for (const host of new Set(hosts.values())) {
    const node = nodes.push(host.key) - 1;
    for (const { address, mac, ecn } of host.endpoints) {
      index.set(address.text, peers.length);
      peers.push({ address, mac, ecn, node });
      for (const alias of aliases) {
        if (alias.publicAddress.text === address.text) peers.push({ address: alias.address, mac, ecn, node });
      }
    }
  }
  return {
    self: compileSelf(input),
    peers,
    routes: [
      ...input.own.subnets.map(({ prefix }) => ({ prefix, peer: null })),
      ...remote.map(({ prefix, via }) => ({ prefix, peer: index.get(via.address.text) ?? null })),
    ],
    nodes,
    unusedAliases,
  };
}

interface Host {
  key: string;
  /** One per address. */
  readonly endpoints: Endpoint[];
}

/** This host's addresses on the underlay: the published ones and those of its interface. */
function addressesOf({ own, source4, source6 }: CompileInput): ReadonlySet<string> {
  const all = [...own.subnets.map(({ via }) => via.address), source4, source6];
  return new Set(all.flatMap((ip) => (ip === null ? [] : [ip.text])));
}

function whyUnused(
  { address, publicAddress }: PeerAlias,
  ownAddresses: ReadonlySet<string>,
  hosts: ReadonlyMap<string, Host>,
): string | null {
  if (ownAddresses.has(address.text)) return `${address.text} is this host's own address`;
  const holder = hosts.get(address.text);
  if (holder !== undefined) return `${address.text} is the public address of ${holder.key}`;
  return hosts.has(publicAddress.text) ? null : `no peer has the public address ${publicAddress.text}`;
}

/** Adds a lease's endpoints to the host that has any of its addresses already, or to a new one. */
function mergeHost(hosts: Map<string, Host>, key: string, subnets: readonly LeasedSubnet[]): void {
  if (subnets.length === 0) return;
  const known = subnets.find(({ via }) => hosts.has(via.address.text))?.via.address.text;
  const host = (known === undefined ? undefined : hosts.get(known)) ?? { key, endpoints: [] };
  host.key = key;
  for (const { via } of subnets) {
    const owner = hosts.get(via.address.text);
    if (owner === undefined) {
      hosts.set(via.address.text, host);
      host.endpoints.push(via);
    } else {
      // An address that belongs to another host already stays there: rows of one address would be ambiguous.
      const place = owner.endpoints.findIndex(({ address }) => address.text === via.address.text);
      owner.endpoints[place] = via;
    }
  }
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
