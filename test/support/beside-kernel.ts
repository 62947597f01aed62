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

export async function startBesideKernel(onCleanup: OnCleanup, setting: Setting): Promise<BesideKernel> {
  const { variant = "static", extra = "", ipv6 = true, ...options } = setting;
  const bed = await Bed.create(onCleanup, { hosts: 2, ...options });
  const overlay = await Overlay.create(onCleanup, { format: "vxlan", ipv6 });
  const [one, two] = [bed.host(1), bed.host(2)];
  await overlay.addToFile(one);
  await overlay.addToFile(two, kernelMac);
  const weft = await overlay.startNode(one);
  const [mac = ""] = (await weft.weftd.ask("/status")).macs;
  const { mtu } = await weft.weftd.podNetwork();
  const { pod } = await startKernelVtep(
    two,
    { address: two.address, mac: kernelMac, subnets: overlay.subnets(two) },
    [{ address: one.address, mac, subnets: overlay.subnets(one) }],
    { vni, port: ports.vxlan, variant, mtu, extra },
  );
  return { bed, overlay, weft, kernel: pod, mac };
}
