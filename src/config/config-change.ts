/**
 * A network config that changes while the daemon runs: what takes effect at once, and what waits for a restart. At once
 * go the bounds that new subnets are taken from, which concern nobody who has one, and the bits that VXLAN headers may
 * have. All else is in the device, the sockets, the pods' addresses or the leases.
 */
import type { NetworkConfig, Pool } from "./network-config.js";

export interface ConfigChange {
  /** The config to run with from now on. */
  readonly config: NetworkConfig;
  /** Names of the fields whose change waits for a restart, as they stand in the config's JSON. */
  readonly waiting: readonly string[];
}

export function changeConfig(inForce: NetworkConfig, next: NetworkConfig): ConfigChange {
  const { backend } = inForce;
  const fields: Readonly<Record<string, boolean>> = {
    Network: inForce.ipv4?.network.text !== next.ipv4?.network.text,
    SubnetLen: inForce.ipv4?.subnetLen !== next.ipv4?.subnetLen,
    IPv6Network: inForce.ipv6?.network.text !== next.ipv6?.network.text,
    IPv6SubnetLen: inForce.ipv6?.subnetLen !== next.ipv6?.subnetLen,
    "Backend.Type": backend.type !== next.backend.type,
    "Backend.Port": backend.port !== next.backend.port,
    "Backend.VNI": backend.vni !== next.backend.vni,
    "Backend.MTU": backend.mtu !== next.backend.mtu,
  };
  return {
    config: {
      ...inForce,
      ipv4: withBounds(inForce.ipv4, next.ipv4),
      ipv6: withBounds(inForce.ipv6, next.ipv6),
      backend: { ...backend, gbp: backend.type === next.backend.type ? next.backend.gbp : backend.gbp },
    },
    waiting: Object.keys(fields).filter((name) => fields[name]),
  };
}

function withBounds(pool: Pool | null, next: Pool | null): Pool | null {
  const same = pool?.network.text === next?.network.text && pool?.subnetLen === next?.subnetLen;
  return same ? next : pool;
}
