/**
 * What the daemon says of itself: the answers of the admin socket and the metrics, put together from the parts at the
 * moment of asking. Nothing here is kept up to date in between.
 */
import { type NetworkConfig, overlayNetworks } from "./config/network-config.js";
import { VERSION } from "./config/version.js";
import type { Dataplane } from "./dataplane/engine.js";
import type { PeerRow, Tables } from "./fib/compile.js";
import type { Lease, Rejection, RejectionReason } from "./lease/lease.js";
import type { Registry } from "./lease/registry.js";
import type { TunSettings } from "./linux/link.js";
import type { Underlay } from "./linux/underlay.js";
import type { CounterInfo } from "./native/bindings.js";
import { formatMac } from "./net/mac.js";
import type { CounterStatus, HealthStatus, PeerStatus, RouteStatus, Status } from "./observe/status.js";

/** Everything there is to tell; what the start has not reached yet is null. */
export interface Subject {
  readonly registry: Registry;
  readonly health: HealthStatus;
  readonly config: NetworkConfig | null;
  readonly underlay: Underlay | null;
  readonly dataplane: Dataplane | null;
  readonly own: Lease | null;
  readonly tun: TunSettings | null;
  readonly rejected: readonly Rejection[];
  /** How often a key came to be rejected, by reason, since the start. */
  readonly rejections: ReadonlyMap<RejectionReason, number>;
  /** What the kernel could not put into the TUN's queue. */
  readonly tunQueueLost: number;
}

/** The one counter that is the kernel's alone: what it counts never came near weft. */
export const TUN_QUEUE_LOST: CounterInfo = {
  name: "tun_queue_lost",
  direction: "tx",
  kind: "other",
  description: "packets the kernel dropped because the TUN's queue was full",
};

/** A hostile registry may have any number of unusable keys; so many are named. */
const MOST_REJECTED = 1000;

export function reportStatus(subject: Subject): Status {
  const { registry, health, config, underlay, dataplane, own, tun, rejected } = subject;
  const counters = reportCounters(subject);
  const macs = own?.subnets.flatMap(({ via }) => (via.mac === null ? [] : [formatMac(via.mac)])) ?? [];
  return {
    version: VERSION,
    pid: process.pid,
    uptimeSeconds: process.uptime(),
    health,
    backend: config?.backend ?? null,
    tun:
      dataplane === null || tun === null
        ? null
        : { name: dataplane.tun, mtu: tun.mtu, addresses: tun.addresses.map(({ text }) => text) },
    underlay:
      underlay === null
        ? null
        : { interface: underlay.name, mtu: underlay.mtu, addresses: publishedAddresses(underlay) },
    networks: config === null ? [] : overlayNetworks(config).map(({ text }) => text),
    subnets: own?.subnets.map(({ prefix }) => prefix.text) ?? [],
    macs: [...new Set(macs)],
    registry: registry.status(),
    workers: dataplane?.workers ?? 0,
    realtime: dataplane?.realtime ?? false,
    offloads: dataplane?.offloads ?? [],
    peers: dataplane?.tables?.nodes.length ?? 0,
    routes: dataplane?.tables?.routes.length ?? 0,
    rejected: rejected.slice(0, MOST_REJECTED),
    rejectedByReason: countReasons(rejected),
    rejections: Object.fromEntries(subject.rejections),
    traffic: { tx: traffic(counters, "tx"), rx: traffic(counters, "rx") },
  };
}

export function reportPeers({ dataplane }: Subject): PeerStatus[] {
  if (!dataplane?.tables) return [];
  const { nodes, routes } = dataplane.tables;
  const subnets = dataplane.tables.peers.map((): string[] => []);
  for (const { prefix, peer } of routes) if (peer !== null) subnets[peer]?.push(prefix.text);
  const now = Number(process.hrtime.bigint() / 1_000_000n);
  return dataplane.peerTraffic().map(({ peer, traffic: { lastReceived, pathMtu, ...traffic } }, index) => ({
    node: nodes[peer.node] ?? "",
    address: peer.address.text,
    mac: peer.mac === null ? null : formatMac(peer.mac),
    subnets: subnets[index] ?? [],
    ...traffic,
    pathMtu: pathMtu === 0 ? null : pathMtu,
    lastReceivedSeconds: lastReceived === 0 ? null : Math.max(0, now - lastReceived) / 1000,
  }));
}

export function reportRoutes({ dataplane }: Subject): RouteStatus[] {
  const tables = dataplane?.tables;
  if (!tables) return [];
  return tables.routes.map(({ prefix, peer }) => routeStatus(tables, prefix.text, peer));
}

export function reportCounters({ dataplane, tunQueueLost }: Subject): CounterStatus[] {
  return dataplane === null ? [] : [...dataplane.counters(), { ...TUN_QUEUE_LOST, value: tunQueueLost }];
}

function routeStatus({ peers, nodes }: Tables, prefix: string, index: number | null): RouteStatus {
  const peer: PeerRow | undefined = index === null ? undefined : peers[index];
  if (peer === undefined) return { prefix, kind: "local", via: null, node: null };
  return { prefix, kind: "peer", via: peer.address.text, node: nodes[peer.node] ?? null };
}

function publishedAddresses({ publicIp, publicIpv6 }: Underlay): string[] {
  return [publicIp, publicIpv6].flatMap((ip) => (ip === null ? [] : [ip.text]));
}

function countReasons(rejected: readonly Rejection[]): Status["rejectedByReason"] {
  const counts: { [reason in RejectionReason]?: number } = {};
  for (const { reason } of rejected) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}

function traffic(counters: readonly CounterStatus[], direction: "tx" | "rx"): Status["traffic"]["tx"] {
  const rows = counters.filter((row) => row.direction === direction);
  const sum = (fits: (row: CounterStatus) => boolean): number =>
    rows.filter(fits).reduce((total, { value }) => total + value, 0);
  return {
    packets: sum(({ kind }) => kind === "forwarded"),
    bytes: sum(({ name }) => name === "bytes"),
    drops: sum(({ kind }) => kind === "drop"),
    lost: sum(({ name }) => name === TUN_QUEUE_LOST.name || name === "socket_queue_lost"),
  };
}
