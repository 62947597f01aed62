/**
 * The network config: what all nodes of one overlay agree on. In etcd it is flannel's JSON under `<prefix>/config`;
 * in a peers file it is the head of the file.
 */
import type { Cidr } from "../net/cidr.js";
import type { Ip } from "../net/ip.js";

/** The address range that subnets of one family are taken from. */
export interface Pool {
  /** A network (no host bits). */
  readonly network: Cidr;
  readonly subnetLen: number;
  /** Network addresses of the first and the last subnet that may be given out. */
  readonly min: Ip;
  readonly max: Ip;
}

export interface Backend {
  readonly type: "udp" | "vxlan";
  /** UDP port: 8285 for udp, 8472 for vxlan unless configured. */
  readonly port: number;
  /** VXLAN network identifier; null in udp format. */
  readonly vni: number | null;
  /** The underlay's MTU when configured; null = that of the underlay interface. */
  readonly mtu: number | null;
}

export interface NetworkConfig {
  /** Null when IPv4 is off (file registry only). */
  readonly ipv4: Pool | null;
  readonly ipv6: Pool | null;
  readonly backend: Backend;
  /** Sentences about settings that are understood and not honoured, to be logged once. */
  readonly warnings: readonly string[];
}
