/**
 * What flags, network config and underlay mean together: the checks that need more than one of them, and what the parts
 * are set to in the end. Pure; the daemon asks before it opens anything.
 */
import { ConfigError, WeftError } from "./config/errors.js";
import { type NetworkConfig, overlayAround, overlayNetworks } from "./config/network-config.js";
import type { Options } from "./config/options.js";
import type { CompileInput } from "./fib/compile.js";
import type { Lease } from "./lease/lease.js";
import type { TunSettings } from "./linux/link.js";
import type { Underlay } from "./linux/underlay.js";
import { cidr } from "./net/cidr.js";
import { ipBits } from "./net/ip.js";
import { tunnelMtu } from "./net/mtu.js";

/**
 * No address of the underlay may lie inside of the overlay, or the tunnel would be routed into itself. Those of other
 * nodes are checked with their leases. Throws a WeftError, about an alias a ConfigError.
 */
export function checkSeparation(
  config: NetworkConfig,
  underlay: Pick<Underlay, "name" | "address4" | "address6">,
  aliases: Options["peerAliases"],
): void {
  for (const address of [underlay.address4, underlay.address6]) {
    const around = address === null ? null : overlayAround(config, address);
    if (address === null || around === null) continue;
    throw new WeftError(
      `the overlay's network ${around.text} contains the address ${address.text} of ${underlay.name}, over which ` +
        "it would run: give the overlay a network of its own, or name another interface with --iface",
    );
  }
  for (const { address } of aliases) {
    const around = overlayAround(config, address);
    if (around === null) continue;
    throw new ConfigError(`--peer-alias: ${address.text} lies inside the overlay ${around.text}`);
  }
}

/** Warnings about flags that mean nothing in the network's format. */
export function flagsWithoutEffect(
  options: Pick<Options, "acceptBridged" | "lenientVxlan">,
  { backend }: NetworkConfig,
): string[] {
  if (backend.type === "vxlan") return [];
  const flags = [
    ...(options.acceptBridged ? ["--accept-bridged"] : []),
    ...(options.lenientVxlan ? ["--lenient-vxlan"] : []),
  ];
  return flags.length === 0 ? [] : [`without effect in the udp format: ${flags.join(", ")}`];
}

/** What of the tables follows from this host's settings and not from leases. */
export function hostSettings(
  options: Pick<Options, "acceptExternal" | "acceptBridged" | "lenientVxlan" | "peerAliases">,
  { backend }: NetworkConfig,
  { address4, address6 }: Pick<Underlay, "address4" | "address6">,
): Omit<CompileInput, "mtu" | "own" | "peers"> {
  return {
    vni: backend.vni,
    port: backend.port,
    admit: {
      external: options.acceptExternal,
      bridged: options.acceptBridged,
      lenient: options.lenientVxlan,
      gbp: backend.gbp,
    },
    source4: address4,
    source6: address6,
    aliases: options.peerAliases,
  };
}

/** The device's settings: flannel's too, the network address of each subnet on it and one route per network. */
export function tunSettings(
  config: NetworkConfig,
  underlay: Pick<Underlay, "mtu">,
  ifindex: number,
  own: Lease,
): TunSettings {
  const { type, mtu } = config.backend;
  const families = own.subnets.map(({ prefix }) => prefix.ip.family);
  const outer = own.subnets.map(({ via }) => via.address.family);
  return {
    ifindex,
    mtu: tunnelMtu(type, mtu ?? underlay.mtu, outer),
    addresses: own.subnets.map(({ prefix: { ip } }) => cidr(ip, ipBits(ip.family))),
    networks: overlayNetworks(config).filter(({ ip }) => families.includes(ip.family)),
  };
}
