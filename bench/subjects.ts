/**
 * What is measured: ways to carry packets from one pod to another. Each is started on a bed of its own and says
 * between which ends it carries.
 */
import { join } from "node:path";
import { addVtep } from "../test/support/kernel-vtep.js";
import { Overlay, ports, vni } from "../test/support/overlay.js";
import { tryRun } from "../test/support/process.js";
import type { Weftd } from "../test/support/weftd.js";
import type { Bed, Ends, Site } from "./bed.js";
import { root } from "./environment.js";

export interface Subject {
  readonly name: string;
  readonly title: string;
  readonly start: (bed: Bed, options: SubjectOptions) => Promise<Ends>;
  /** Null when it can be measured here, otherwise why not. */
  readonly missing?: () => Promise<string | null>;
}

export interface SubjectOptions {
  /** Flags for every weftd. */
  readonly weftd: readonly string[];
}

export const subjects: readonly Subject[] = [
  { name: "veth", title: "the cable alone, host to host", start: startVeth },
  { name: "routing", title: "host routing, no tunnel", start: startRouting },
  { name: "kernel", title: "kernel VXLAN", start: startKernel },
  { name: "weft-udp", title: "weft, udp", start: (bed, options) => startWeft(bed, "udp", options) },
  { name: "weft-vxlan", title: "weft, vxlan", start: (bed, options) => startWeft(bed, "vxlan", options) },
  { name: "weft-kernel", title: "weft to kernel VXLAN", start: (bed, o) => startBeside(bed, 0, o) },
  { name: "kernel-weft", title: "kernel VXLAN to weft", start: (bed, o) => startBeside(bed, 1, o) },
  { name: "flannel-loop", title: "one packet per system call", start: startFlannelLoop },
  { name: "wireguard-go", title: "wireguard-go", start: startWireguard, missing: wireguardMissing },
];

const VXLAN_OVERHEAD = 50;
const UDP_OVERHEAD = 28;
const WIREGUARD_OVERHEAD = 80;

// eslint-disable-next-line @typescript-eslint/require-await -- there is nothing to start.
async function startVeth({ sites: [one, two] }: Bed): Promise<Ends> {
  return { client: one.ns, server: two.ns, address: two.address };
}

async function startRouting(bed: Bed): Promise<Ends> {
  for (const [own, peer] of pairs(bed)) await own.ns.ip(`route add ${peer.subnet} via ${peer.address}`);
  return bed.addPods(bed.setting.mtu);
}

async function startKernel(bed: Bed): Promise<Ends> {
  for (const [own, peer] of pairs(bed)) await addKernelVtep(bed, own, peer, kernelMac(peer));
  return bed.addPods(bed.setting.mtu - VXLAN_OVERHEAD);
}

async function startWeft(bed: Bed, format: "udp" | "vxlan", { weftd }: SubjectOptions): Promise<Ends> {
  const overlay = await Overlay.create(bed.onCleanup, { format });
  for (const site of bed.sites) await overlay.addToFile(site);
  const daemons = await Promise.all(bed.sites.map((site) => startWeftd(overlay, site, weftd)));
  return bed.addPods(await podMtu(daemons));
}

/** weft at one end (0 or 1, of the sites), the kernel's VXLAN device at the other. */
async function startBeside(bed: Bed, end: 0 | 1, { weftd }: SubjectOptions): Promise<Ends> {
  const [own, peer] = [bed.sites[end], bed.sites[1 - end] as Site];
  const overlay = await Overlay.create(bed.onCleanup, { format: "vxlan" });
  await overlay.addToFile(own);
  await overlay.addToFile(peer, kernelMac(peer));
  const daemon = await startWeftd(overlay, own, weftd);
  const [mac = ""] = (await daemon.ask("/status")).macs;
  await addKernelVtep(bed, peer, own, mac);
  return bed.addPods(await podMtu([daemon]));
}

async function startFlannelLoop(bed: Bed): Promise<Ends> {
  const mtu = bed.setting.mtu - UDP_OVERHEAD;
  for (const [own, peer] of pairs(bed)) {
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

async function startWireguard(bed: Bed): Promise<Ends> {
  const keys = new Map<Site, { readonly own: string; readonly shared: string }>();
  for (const site of bed.sites) {
    const own = (await site.ns.run("wg", ["genkey"])).trim();
    keys.set(site, { own, shared: (await site.ns.run("wg", ["pubkey"], { input: own })).trim() });
  }
  const mtu = bed.setting.mtu - WIREGUARD_OVERHEAD;
  for (const [own, peer] of pairs(bed)) {
    // Its control socket is a file named after the device: the name must be this run's alone.
    const device = `wg${own.index}-${process.pid}`;
    const program = own.ns.start("wireguard-go", ["-f", device], { ...process.env, LOG_LEVEL: "error" });
    await own.ns
      .run("sh", ["-c", `until wg show ${device} >/dev/null 2>&1; do sleep 0.02; done`])
      .catch(() => {
        throw new Error(`wireguard-go does not start: ${program.describe()}`);
      });
    const address = ["endpoint", `${peer.address}:51820`, "allowed-ips", peer.subnet];
    const settings = [
      "listen-port",
      "51820",
      "private-key",
      "/dev/stdin",
      "peer",
      keys.get(peer)?.shared ?? "",
    ];
    await own.ns.run("wg", ["set", device, ...settings, ...address], { input: keys.get(own)?.own ?? "" });
    await own.ns.ip(`link set ${device} mtu ${mtu} up`, `route add ${peer.subnet} dev ${device}`);
  }
  return bed.addPods(mtu);
}

function pairs({ sites: [one, two] }: Bed): [Site, Site][] {
  return [
    [one, two],
    [two, one],
  ];
}

function kernelMac(site: Site): string {
  return `02:00:00:00:00:0${site.index}`;
}

/** As flannel sets it up: a permanent neighbour and an FDB entry for the peer, whose VTEP has `mac`. */
function addKernelVtep(bed: Bed, own: Site, peer: Site, mac: string): Promise<void> {
  return addVtep(
    own,
    `flannel.${vni}`,
    { address: own.address, mac: kernelMac(own), subnets: [own.subnet] },
    [{ address: peer.address, mac, subnets: [peer.subnet] }],
    { vni, port: ports.vxlan, variant: "static", mtu: bed.setting.mtu - VXLAN_OVERHEAD },
  );
}

function startWeftd(overlay: Overlay, site: Site, flags: readonly string[]): Promise<Weftd> {
  return overlay.startWeftd(site, { args: ["--iface=eth0", ...flags] });
}

async function podMtu(daemons: readonly Weftd[]): Promise<number> {
  const networks = await Promise.all(daemons.map((each) => each.podNetwork()));
  return Math.min(...networks.map(({ mtu }) => mtu));
}
