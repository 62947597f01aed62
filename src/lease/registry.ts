/**
 * The registry as the daemon sees it: a place that gives this node its subnet and tells it the others'. Implemented
 * over etcd (`etcd/`) and over a YAML file (`static/`).
 *
 * Order of use: networkConfig → acquire → watch → close. Everything that can wait takes an AbortSignal and rejects
 * with its reason when it fires.
 */
import type { NetworkConfig } from "../config/network-config.js";
import type { Ip } from "../net/ip.js";
import type { Lease, Rejection } from "./lease.js";

/** What this node asks for. Addresses are null where the host has none of that family. */
export interface LeaseRequest {
  readonly publicIp: Ip | null;
  readonly publicIpv6: Ip | null;
  readonly config: NetworkConfig;
  /** The subnets of the previous `subnet.env`, as text `10.5.32.1/24`; null when there is none. */
  readonly previousSubnet: string | null;
  readonly previousSubnet6: string | null;
  /** Confirms that a lease found by address or subnet is this node's; null when unknown. */
  readonly nodeId: string | null;
  /** A lease with this host's address is taken over even if its id is another node's. */
  readonly reclaim: boolean;
}

/** A consistent picture of the registry: everything that is in it, not a change. */
export interface Snapshot {
  /** What is in force; of the config that the start began with, only some fields change. */
  readonly config: NetworkConfig;
  /** Every other node's lease; this node's own is not in it. */
  readonly peers: readonly Lease[];
  readonly rejected: readonly Rejection[];
  /** How many of the peers are gone from the registry and kept for a while, since too many went at once. */
  readonly held: number;
  /** It is what the last run knew: the registry has not answered yet. */
  readonly stale: boolean;
}

/** For `weft status` and metrics. */
export interface RegistryStatus {
  readonly kind: "etcd" | "file";
  /** Endpoint in use, or the file's path. */
  readonly source: string;
  readonly connected: boolean;
  /** What is wrong with the registry or with what it says about this node, a sentence; null when nothing is. */
  readonly problem: string | null;
  /** True when the problem leaves this node without a subnet: none is free, or another node holds its own. */
  readonly failed: boolean;
  /** Seconds since the registry last answered; null before the first answer. */
  readonly lastContactSeconds: number | null;
  /** etcd: the revision up to which changes were delivered. File: the number of loads. */
  readonly revision: number;
  /** Seconds the own lease lives on without renewal; null when it has no end. */
  readonly leaseTtlSeconds: number | null;
  /** How often etcd was found to be restored from a backup; 0 for a file. */
  readonly restores: number;
  /** Seconds until the first of the TLS files' certificates ends, negative afterwards; null without any. */
  readonly certificateSeconds: number | null;
}

export interface Registry {
  /** The network config; waits until there is one. Rejects with a ConfigError when it is invalid. */
  networkConfig(signal: AbortSignal): Promise<NetworkConfig>;
  /** Takes this node's subnet and keeps it alive until `close`. */
  acquire(request: LeaseRequest, signal: AbortSignal): Promise<Lease>;
  /**
   * Calls `onSnapshot` with the first complete picture and again after every change. Resolves after the first call.
   * Afterwards the registry looks after itself: it reconnects, resumes, re-lists, and never delivers an incomplete
   * picture. Loss of the registry delivers nothing.
   */
  watch(onSnapshot: (snapshot: Snapshot) => void, signal: AbortSignal): Promise<void>;
  status(): RegistryStatus;
  /**
   * Gives this node's subnet back for good; resolves with a sentence that says what became of it. The daemon is to end
   * then. Rejects with a WeftError when that cannot be done; everything then goes on as before.
   */
  leave(): Promise<string>;
  /** Ends connections and timers. The lease is kept. Idempotent. */
  close(): Promise<void>;
}
