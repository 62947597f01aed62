/**
 * What is measured: ways to carry packets from one pod to another. Each is started on a bed of its own and says
 * between which ends it carries.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { addVtep } from "../test/support/kernel-vtep.js";
import { Overlay, ports, vni } from "../test/support/overlay.js";
import { temporaryDirectory, tryRun, until } from "../test/support/process.js";
import type { Weftd } from "../test/support/weftd.js";
import type { Bed, Ends, Place, Site } from "./bed.js";
import { root } from "./environment.js";

export interface Subject {
  readonly name: string;
  readonly title: string;
  /** `weftd`: flags for every weftd. */
  readonly start: (bed: Bed, weftd: readonly string[]) => Promise<Ends>;
  /** Null when it can be measured on this machine, otherwise why not. */
  readonly missing?: () => Promise<string | null>;
}

/** The one that the others are measured against. */
export const KERNEL = "kernel";

export const subjects: readonly Subject[] = [
  { name: "veth", title: "the cable alone, host to host", start: startVeth },
  { name: "routing", title: "host routing, no tunnel", start: startRouting },
  { name: KERNEL, title: "kernel VXLAN", start: startKernel },
  { name: "weft-udp", title: "weft, udp", start: (bed, weftd) => startWeft(bed, "udp", weftd) },
  { name: "weft-vxlan", title: "weft, vxlan", start: (bed, weftd) => startWeft(bed, "vxlan", weftd) },
  { name: "weft-kernel", title: "weft to kernel VXLAN", start: (bed, weftd) => startBeside(bed, 0, weftd) },
  { name: "kernel-weft", title: "kernel VXLAN to weft", start: (bed, weftd) => startBeside(bed, 1, weftd) },
  { name: "flannel-loop", title: "one packet per system call", start: startFlannelLoop },
  { name: "wireguard-go", title: "wireguard-go", start: startWireguard, missing: wireguardMissing },
];

const VXLAN_OVERHEAD = 50;
const UDP_OVERHEAD = 28;
const WIREGUARD_OVERHEAD = 80;

function startVeth({ sites: [one, two] }: Bed): Promise<Ends> {
  return Promise.resolve({ client: one.ns, server: two.ns, addresses: [two.address], weft: null });
}

async function startRouting(bed: Bed): Promise<Ends> {
  for (const [own, peer] of bed.pairs) await own.ns.ip(`route add ${peer.subnet} via ${peer.address}`);
  return bed.addPods(bed.setting.mtu);
}

/* --- the kernel's VXLAN device and weft ----------------------------------------------------------------------- */

async function startKernel(bed: Bed): Promise<Ends> {
  for (const [own, peer] of bed.pairs) {
    await addKernelVtep(
      bed,
      own,
      peer.places.map((place) => ({ ...place, mac: kernelMac(place) })),
    );
  }
  return bed.addPods(bed.setting.mtu - VXLAN_OVERHEAD);
}

async function startWeft(bed: Bed, format: "udp" | "vxlan", flags: readonly string[]): Promise<Ends> {
  const overlay = await Overlay.create(bed.onCleanup, { format });
  for (const site of bed.sites) await overlay.addToFile(site);
  const daemons = await Promise.all(bed.sites.map((site) => startWeftd(overlay, site, flags)));
  return bed.addPods(await podMtu(daemons), { overlay, daemons });
}

/** weft at one end (0 or 1, of the sites), the kernel's VXLAN device at the other. */
async function startBeside(bed: Bed, end: 0 | 1, flags: readonly string[]): Promise<Ends> {
  const [own, peer] = bed.pairs[end] as [Site, Site];
  const overlay = await Overlay.create(bed.onCleanup, { format: "vxlan" });
  await overlay.addToFile(own);
  for (const place of peer.places) await overlay.addToFile(place, kernelMac(place));
  const daemon = await startWeftd(overlay, own, flags);
  const [mac = ""] = (await daemon.ask("/status")).macs;
  await addKernelVtep(bed, peer, [{ ...own, mac }]);
  return bed.addPods(await podMtu([daemon]), { overlay, daemons: [daemon] });
}

function kernelMac({ index }: Place): string {
  return `02:00:00:00:00:${index.toString(16).padStart(2, "0")}`;
}

/** As flannel sets it up: a permanent neighbour and an FDB entry for each peer. */
async function addKernelVtep(
  bed: Bed,
  own: Site,
  peers: readonly (Place & { readonly mac: string })[],
): Promise<void> {
  const device = `flannel.${vni}`;
  await addVtep(
    own,
    device,
    { address: own.address, mac: kernelMac(own), subnets: [own.subnet] },
    peers.map(({ address, mac, subnet }) => ({ address, mac, subnets: [subnet] })),
    { vni, port: ports.vxlan, variant: "static", mtu: bed.setting.mtu - VXLAN_OVERHEAD },
  );
  // A host that stands for many takes what is sent to any of their devices.
  if (own.places.length > 1) {
    await own.ns.nft(`
      table netdev peers {
        chain in {
          type filter hook ingress device ${device} priority 0;
          ether daddr set ${kernelMac(own)} meta pkttype set host
        }
      }`);
  }
}

function startWeftd(overlay: Overlay, site: Site, flags: readonly string[]): Promise<Weftd> {
  return overlay.startWeftd(site, { args: ["--iface=eth0", ...flags] });
}

async function podMtu(daemons: readonly Weftd[]): Promise<number> {
  const networks = await Promise.all(daemons.map((each) => each.podNetwork()));
  return Math.min(...networks.map(({ mtu }) => mtu));
}

/* --- others --------------------------------------------------------------------------------------------------- */

async function startFlannelLoop(bed: Bed): Promise<Ends> {
  const mtu = bed.setting.mtu - UDP_OVERHEAD;
  for (const [own, peer] of bed.pairs) {
    await own.ns.ip(
      "tuntap add flannel0 mode tun",
      `link set flannel0 mtu ${mtu} up`,
      `addr add 10.5.${own.index}.0/32 dev flannel0`,
      `route add ${peer.subnet} dev flannel0`,
    );
    const loop = join(root, "native/out/flannel-udp-loop");
    const network = peer.subnet.replace("/24", "");
    await own.ns.start(loop, ["flannel0", `${ports.udp}`, network, peer.address]).line(/^ready$/);
  }
  return bed.addPods(mtu);
}

async function wireguardMissing(): Promise<string | null> {
  const found = await tryRun("sh", ["-c", "command -v wireguard-go && command -v wg"]);
  return found.code === 0 ? null : "Debian's packages wireguard-go and wireguard-tools are not installed";
}

let devices = 0;

async function startWireguard(bed: Bed): Promise<Ends> {
  const mtu = bed.setting.mtu - WIREGUARD_OVERHEAD;
  const directory = await temporaryDirectory(bed.onCleanup);
  const keyFile = ({ index }: Site): string => join(directory, `${index}`);
  for (const site of bed.sites) await writeFile(keyFile(site), await site.ns.run("wg", ["genkey"]));
  for (const [own, peer] of bed.pairs) {
    // Its control socket is a file named after the device, which nobody else's may be.
    const device = `wg${own.index}-${process.pid}-${++devices}`;
    const program = own.ns.start("wireguard-go", ["-f", device], { ...process.env, LOG_LEVEL: "error" });
    await until(`wireguard-go: ${program.describe()}`, async () => {
      return (await own.ns.tryRun("wg", ["show", device])).code === 0 || null;
    });
    const key = await peer.ns.run("wg", ["pubkey"], { input: await readFile(keyFile(peer), "utf8") });
    const settings = ["listen-port", "51820", "private-key", keyFile(own), "peer", key.trim()];
    const way = ["endpoint", `${peer.address}:51820`, "allowed-ips", peer.subnet];
    await own.ns.run("wg", ["set", device, ...settings, ...way]);
    await own.ns.ip(`link set ${device} mtu ${mtu} up`, `route add ${peer.subnet} dev ${device}`);
  }
  return bed.addPods(mtu);
}
