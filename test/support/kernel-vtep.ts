/**
 * A host whose VTEP is the kernel's VXLAN device: the peer that weft must not be distinguishable from. Set up exactly
 * as flannel does ("static": per peer a permanent neighbour, an FDB entry and an onlink route), or as people do by
 * hand ("learning": an all-zero FDB entry per peer, so that the kernel floods ARP and neighbour solicitations
 * through the tunnel and learns MACs from what comes back).
 */
import type { Host, Pod } from "./hosts.js";

export type Variant = "static" | "learning";

/** One tunnel endpoint with the subnets behind it, network addresses with lengths. */
export interface VtepPeer {
  readonly address: string;
  readonly mac: string;
  readonly subnets: readonly string[];
}

export interface KernelVtep {
  readonly pod: Pod;
  readonly mtu: number;
}

/** Makes `flannel.<vni>` on a host and routes `peers` into it; then attaches a pod. */
export async function startKernelVtep(
  host: Host,
  own: VtepPeer,
  peers: readonly VtepPeer[],
  options: { readonly vni: number; readonly port: number; readonly variant: Variant; readonly mtu: number },
): Promise<KernelVtep> {
  const { vni, port, variant, mtu } = options;
  const device = `flannel.${vni}`;
  const learning = variant === "learning" ? "learning" : "nolearning";
  await host.ns.ip(
    `link add ${device} address ${own.mac} type vxlan id ${vni} dev eth0 local ${own.address} dstport ${port} ${learning}`,
    `link set ${device} mtu ${mtu} up`,
    ...own.subnets.map(
      (subnet) => `addr add ${zero(subnet)}/${bits(subnet)} dev ${device} ${v6(subnet) ? "nodad" : ""}`,
    ),
  );
  for (const peer of peers) {
    const destination = variant === "learning" ? "00:00:00:00:00:00" : peer.mac;
    await host.ns.run("bridge", ["fdb", "append", destination, "dev", device, "dst", peer.address]);
    for (const subnet of peer.subnets) {
      const neighbour = `neigh replace ${zero(subnet)} lladdr ${peer.mac} dev ${device} nud permanent`;
      await host.ns.ip(
        ...(variant === "static" ? [neighbour] : []),
        `route add ${subnet} via ${zero(subnet)} dev ${device} onlink`,
      );
    }
  }
  const [subnet = "", subnet6 = null] = own.subnets;
  return {
    pod: await host.addPod({ subnet: first(subnet), subnet6: subnet6 === null ? null : first(subnet6), mtu }),
    mtu,
  };
}

function v6(prefix: string): boolean {
  return prefix.includes(":");
}

/** The subnet's first address with the length, as `subnet.env` has it. */
function first(subnet: string): string {
  return subnet.replace(/\.0\/|::\//, (end) => (end === "::/" ? "::1/" : ".1/"));
}

/** The subnet's own address (`.0`, `::`): what flannel gives the device and routes via. */
function zero(prefix: string): string {
  return prefix.slice(0, prefix.indexOf("/"));
}

function bits(prefix: string): number {
  return v6(prefix) ? 128 : 32;
}
