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

export interface VtepOptions {
  readonly vni: number;
  readonly port: number;
  readonly variant: Variant;
  readonly mtu: number;
  /** More of the kernel's options for the device, such as `gbp`. */
  readonly extra?: string;
}

/** Makes `flannel.<vni>` on a host and routes `peers` into it; then attaches a pod. */
export async function startKernelVtep(
  host: Host,
  own: VtepPeer,
  peers: readonly VtepPeer[],
  options: VtepOptions,
): Promise<KernelVtep> {
  const { vni, mtu } = options;
  await addVtep(host, `flannel.${vni}`, own, peers, options);
  const [subnet = "", subnet6 = null] = own.subnets;
  return {
    pod: await host.addPod({ subnet: first(subnet), subnet6: subnet6 === null ? null : first(subnet6), mtu }),
    mtu,
  };
}

/** Makes one VXLAN device; a dual-stack flannel node has two, each with its MAC and its underlay address. */
export async function addVtep(
  host: Pick<Host, "ns">,
  device: string,
  own: VtepPeer,
  peers: readonly VtepPeer[],
  { vni, port, variant, mtu, extra = "" }: VtepOptions,
): Promise<void> {
  const learning = variant === "learning" ? "learning" : "nolearning";
  await host.ns.ip(
    `link add ${device} address ${own.mac} type vxlan id ${vni} dev eth0 local ${own.address} dstport ${port} ${learning} ${extra}`,
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
