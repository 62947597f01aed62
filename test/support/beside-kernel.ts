/**
 * A weft node beside a host whose VTEP is the kernel's VXLAN device.
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd ── wire ── host2: flannel.1 (kernel) ─ cni0 ─ pod 10.5.2.2
 */
import { Bed, type BedOptions, type Pod } from "./hosts.js";
import { startKernelVtep, type VtepOptions } from "./kernel-vtep.js";
import { type Node, Overlay, ports, vni } from "./overlay.js";
import type { OnCleanup } from "./process.js";

export const kernelMac = "02:00:00:00:00:02";

export interface Setting extends Omit<BedOptions, "hosts">, Partial<Pick<VtepOptions, "variant" | "extra">> {
  /** Inner IPv6 as well; true by default. */
  readonly ipv6?: boolean;
}

export interface BesideKernel {
  readonly bed: Bed;
  readonly overlay: Overlay;
  readonly weft: Node;
  readonly kernel: Pod;
  /** Of weft's VTEP. */
  readonly mac: string;
}

/** The same without the device on host2, for who makes one of his own, or frames by hand. */
export type BesidePeer = Omit<BesideKernel, "kernel">;

export async function startBesidePeer(
  onCleanup: OnCleanup,
  { ipv6 = false, ...options }: Omit<Setting, "variant" | "extra"> = {},
): Promise<BesidePeer> {
  const bed = await Bed.create(onCleanup, { hosts: 2, ...options });
  const overlay = await Overlay.create(onCleanup, { format: "vxlan", ipv6 });
  await overlay.addToFile(bed.host(1));
  await overlay.addToFile(bed.host(2), kernelMac);
  const weft = await overlay.startNode(bed.host(1));
  const [mac = ""] = (await weft.weftd.ask("/status")).macs;
  return { bed, overlay, weft, mac };
}

export async function startBesideKernel(onCleanup: OnCleanup, setting: Setting): Promise<BesideKernel> {
  const { variant = "static", extra = "", ipv6 = true, ...options } = setting;
  const beside = await startBesidePeer(onCleanup, { ipv6, ...options });
  const { bed, overlay, weft, mac } = beside;
  const [one, two] = [bed.host(1), bed.host(2)];
  const { mtu } = await weft.weftd.podNetwork();
  const { pod } = await startKernelVtep(
    two,
    { address: two.address, mac: kernelMac, subnets: overlay.subnets(two) },
    [{ address: one.address, mac, subnets: overlay.subnets(one) }],
    { vni, port: ports.vxlan, variant, mtu, extra },
  );
  return { ...beside, kernel: pod };
}
