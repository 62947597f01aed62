/**
 * The answers of the admin socket, shared by the daemon, which fills them, and the command line, which prints them.
 * `--json` prints them as they are, so the names here are a public interface.
 */
import type { Rejection, RejectionReason } from "../lease/lease.js";
import type { RegistryStatus } from "../lease/registry.js";

export type HealthState = "starting" | "ready" | "degraded" | "failed";

export interface HealthStatus {
  readonly state: HealthState;
  /** Sentences; empty when ready. */
  readonly reasons: readonly string[];
}

/** `GET /status` */
export interface Status {
  readonly version: string;
  readonly pid: number;
  readonly uptimeSeconds: number;
  readonly health: HealthStatus;
  /** These three are null as long as the start has not got to them. */
  readonly backend: { readonly type: string; readonly port: number; readonly vni: number | null } | null;
  readonly tun: { readonly name: string; readonly mtu: number; readonly addresses: readonly string[] } | null;
  readonly underlay: {
    readonly interface: string;
    readonly mtu: number;
    readonly addresses: readonly string[];
  } | null;
  /** The overlay's networks and this node's subnets, IPv4 first. */
  readonly networks: readonly string[];
  readonly subnets: readonly string[];
  /** This node's VTEP MACs by family; empty in udp format. */
  readonly macs: readonly string[];
  readonly registry: RegistryStatus;
  readonly workers: number;
  /** Whether the workers have real-time priority for bulk. */
  readonly realtime: boolean;
  readonly offloads: readonly string[];
  readonly peers: number;
  readonly routes: number;
  /** Leases that are not used, the first 1000, and how many there are of each reason. */
  readonly rejected: readonly Rejection[];
  readonly rejectedByReason: ReasonCounts;
  /** How often a lease came to be unusable since the start. */
  readonly rejections: ReasonCounts;
  readonly traffic: { readonly tx: Traffic; readonly rx: Traffic };
}

export type ReasonCounts = { readonly [reason in RejectionReason]?: number };

export interface Traffic {
  readonly packets: number;
  readonly bytes: number;
  readonly drops: number;
  /** What the kernel dropped because weft's queue was full. */
  readonly lost: number;
}

/** `GET /peers`: one per tunnel endpoint. */
export interface PeerStatus {
  /** The lease's key or the node's name. */
  readonly node: string;
  readonly address: string;
  readonly mac: string | null;
  readonly subnets: readonly string[];
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  /** Send and ICMP errors about this peer. */
  readonly errors: number;
  /** The largest datagram that the path to the peer takes, outer headers included; null when not learned. */
  readonly pathMtu: number | null;
  /** Null when nothing was ever received. */
  readonly lastReceivedSeconds: number | null;
}

/** `GET /routes`: the table the workers use. */
export interface RouteStatus {
  readonly prefix: string;
  readonly kind: "peer" | "local";
  /** Underlay address of the next hop; null for local. */
  readonly via: string | null;
  readonly node: string | null;
}

/** `GET /counters` */
export interface CounterStatus {
  readonly name: string;
  readonly direction: "tx" | "rx";
  readonly kind: "in" | "forwarded" | "consumed" | "drop" | "other";
  readonly value: number;
  readonly description: string;
}

/** `GET /trace`: what would become of a packet, and why. */
export interface TraceStatus {
  /** tx: as read from the TUN; rx: as received from a peer. */
  readonly direction: "tx" | "rx";
  readonly verdict: "forwarded" | "dropped";
  /** Name of the drop reason, and its sentence; null unless dropped. */
  readonly reason: string | null;
  readonly sentence: string | null;
  /** Bytes of the packet that was traced. */
  readonly size: number;
  /** The way there, for people. */
  readonly steps: readonly { readonly name: string; readonly outcome: string }[];
  /** What would be sent: to which underlay address, bytes of the outer IP packet, its TOS. */
  readonly datagrams: readonly { readonly to: string; readonly size: number; readonly tos: number }[];
  /** What the sender would be told by ICMP; null: nothing. */
  readonly reply: string | null;
}
