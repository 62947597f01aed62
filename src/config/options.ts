/**
 * Everything `weftd` can be told, as one validated object. Sources, the later wins: defaults, YAML file, environment
 * (`FLANNELD_…`, then `WEFT_…`), command line.
 */
import { join } from "node:path";
import type { Offload } from "../native/bindings.js";
import type { Ip } from "../net/ip.js";

/** Least severe level that is logged, the most severe first. */
export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface EtcdOptions {
  readonly kind: "etcd";
  /** `http://host:port` or `https://…`, at least one. */
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly keyFile: string | null;
  readonly certFile: string | null;
  readonly caFile: string | null;
  readonly username: string | null;
  readonly password: string | null;
  /** How long many leases that vanish at once are kept; 0 = not at all. */
  readonly withdrawalHoldMs: number;
}

export interface FileOptions {
  readonly kind: "file";
  readonly path: string;
}

/** Datagrams from `address` are taken as sent by the peer whose lease names `publicAddress`. */
export interface PeerAlias {
  readonly address: Ip;
  readonly publicAddress: Ip;
}

export interface Options {
  readonly registry: EtcdOptions | FileOptions;
  /** Names or addresses of underlay interfaces, in order of preference; empty = the default route's. */
  readonly iface: readonly string[];
  readonly ifaceRegex: readonly string[];
  readonly ifaceCanReach: Ip | null;
  readonly publicIp: Ip | null;
  readonly publicIpv6: Ip | null;
  /** No address stands in it twice, none for itself. */
  readonly peerAliases: readonly PeerAlias[];
  readonly acceptExternal: boolean;
  readonly acceptBridged: boolean;
  readonly lenientVxlan: boolean;
  readonly subnetFile: string;
  readonly ipMasq: boolean;
  /** Renew an own lease this many minutes before its end at the latest; 1..1439. */
  readonly leaseRenewMarginMinutes: number;
  readonly healthzIp: Ip;
  /** 0 = no HTTP server. */
  readonly healthzPort: number;
  readonly runDir: string;
  readonly stateDir: string;
  readonly tun: string;
  readonly nodeId: string | null;
  /** Take over the lease of this host's address from another node id. */
  readonly reclaim: boolean;
  /** Take over from the daemon that runs. */
  readonly replace: boolean;
  readonly offloads: readonly Offload[];
  /** Threads that carry packets; null for as many as suit the machine. */
  readonly workers: number | null;
  /** Whether workers may have real-time priority for bulk. */
  readonly realtime: boolean;
  readonly logLevel: LogLevel;
  /** Sentences about accepted settings that have no effect (yet), to be logged once at start. */
  readonly warnings: readonly string[];
}

/** Path of the admin socket, where daemon and command line meet. */
export function adminSocket(runDir: string): string {
  return join(runDir, "weft.sock");
}
