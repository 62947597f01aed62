/**
 * What the rest of the program knows of a node: the lease, in the form in which tables are compiled from it. The
 * registries (`etcd/`, `static/`) translate their own notation into it and back.
 */
import type { Cidr } from "../net/cidr.js";
import type { Ip } from "../net/ip.js";

/** A tunnel endpoint: where to send, and in VXLAN format the destination MAC of the inner Ethernet header. */
export interface Endpoint {
  readonly address: Ip;
  /** Null in udp format. */
  readonly mac: Uint8Array | null;
  /** Whether that end takes ECN marks of the outer header over into the inner one (RFC 6040). */
  readonly ecn: boolean;
}

/** A pod subnet and the endpoint that it is reached through. */
export interface LeasedSubnet {
  /** A network (no host bits). */
  readonly prefix: Cidr;
  readonly via: Endpoint;
}

export interface Lease {
  /** Unique and stable within the registry: the etcd key's last part, or the node's name in the file. */
  readonly key: string;
  /** One per address family at most. */
  readonly subnets: readonly LeasedSubnet[];
  /** "udp", "vxlan", or a foreign backend's name. */
  readonly backend: string;
  /** VXLAN network identifier; null when the backend has none or an older writer left it out. */
  readonly vni: number | null;
}

export type RejectionReason =
  | "malformed" // key or value cannot be read
  | "oversized" // the value is longer than any real one
  | "backend" // another encapsulation than this node's
  | "vni" // another VXLAN network
  | "family" // no public address or MAC for a subnet's family
  | "outside-network"
  | "length" // not the subnet length of the network config
  | "address" // a public address that no host can be reached at
  | "overlap" // an older lease has the subnet
  | "duplicate" // an older lease has the public address, with another MAC
  | "self" // this node's own address
  | "too-many"; // more leases than any network has nodes

/** A lease or key that is not used, and why; shown by `weft status`. */
export interface Rejection {
  readonly key: string;
  /** A stable word for counting. */
  readonly reason: RejectionReason;
  /** A sentence for people. */
  readonly message: string;
}
