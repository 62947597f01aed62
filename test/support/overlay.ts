/**
 * An overlay over the hosts of a bed, described by one peers file: weft nodes with their pods, and places for peers
 * that are not weft. Host n is the node `host<n>` with the subnets 10.5.<n>.0/24 and, if asked for, fd05:0:0:<n>::/64.
 */
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import type { Bed, Host, Pod } from "./hosts.js";
import { type OnCleanup, temporaryDirectory } from "./process.js";
import { Weftd, type WeftdOptions } from "./weftd.js";

export interface OverlayOptions {
  readonly format: "udp" | "vxlan";
  readonly ipv6?: boolean;
}

/** A host that runs weftd, with one pod behind it. */
export interface Node {
  readonly host: Host;
  readonly weftd: Weftd;
  readonly pod: Pod;
}

export const vni = 1;
export const ports = { udp: 8285, vxlan: 8472 } as const;

interface PeersFileNode {
  readonly name: string;
  readonly address: string;
  readonly subnets: readonly string[];
  readonly mac?: string;
}

export class Overlay {
  readonly peersFile: string;
  #nodes: readonly PeersFileNode[] = [];
  #gbp = false;

  private constructor(
    readonly directory: string,
    readonly options: OverlayOptions,
  ) {
    this.peersFile = join(directory, "peers.yaml");
  }

  static async create(onCleanup: OnCleanup, options: OverlayOptions): Promise<Overlay> {
    return new Overlay(await temporaryDirectory(onCleanup), options);
  }

  /** Adds a host to the peers file; `mac` is for VTEPs that are not weft's. Running daemons read it again. */
  async addToFile(host: Pick<Host, "index" | "address">, mac?: string): Promise<void> {
    const node = { name: `host${host.index}`, address: host.address, subnets: this.subnets(host) };
    await this.writeFile([...this.#nodes, mac === undefined ? node : { ...node, mac }]);
  }

  async removeFromFile(host: Host): Promise<void> {
    await this.writeFile(this.#nodes.filter(({ name }) => name !== `host${host.index}`));
  }

  /** Says in the file whether peers use VXLAN's group policies; daemons read that when they start. */
  async setGbp(gbp: boolean): Promise<void> {
    this.#gbp = gbp;
    await this.writeFile(this.#nodes);
  }

  /** The subnets of a host, IPv4 first. */
  subnets(host: Pick<Host, "index">): string[] {
    const v6 = `fd05:0:0:${host.index.toString(16)}::/64`;
    return this.options.ipv6 === true ? [`10.5.${host.index}.0/24`, v6] : [`10.5.${host.index}.0/24`];
  }

  /** Starts the daemon of a host that is in the file, then attaches a pod as a CNI plugin would. */
  async startNode(host: Host, options: Partial<WeftdOptions> = {}): Promise<Node> {
    const weftd = await this.startWeftd(host, options);
    return { host, weftd, pod: await host.addPod(await weftd.podNetwork()) };
  }

  /** Starts the daemon of a host, again with the same directory when it ran before. */
  startWeftd(host: Pick<Host, "index" | "ns">, options: Partial<WeftdOptions> = {}): Promise<Weftd> {
    return Weftd.start(host.ns, join(this.directory, `host${host.index}`), {
      ...options,
      args: [`--registry=file:${this.peersFile}`, ...(options.args ?? [])],
    });
  }

  private async writeFile(nodes: readonly PeersFileNode[]): Promise<void> {
    this.#nodes = nodes;
    const { format, ipv6 = false } = this.options;
    const text = stringify({
      network: "10.5.0.0/16",
      ...(ipv6 ? { ipv6Network: "fd05::/48" } : {}),
      backend: format === "udp" ? { type: format } : { type: format, vni, gbp: this.#gbp },
      nodes,
    });
    await writeFile(`${this.peersFile}.new`, text);
    await rename(`${this.peersFile}.new`, this.peersFile);
  }
}

/** The usual start: every host of the bed is a weft node with one pod. */
export async function startOverlay(
  bed: Bed,
  onCleanup: OnCleanup,
  options: OverlayOptions,
  weftdOptions: Partial<WeftdOptions> = {},
): Promise<{ readonly overlay: Overlay; readonly nodes: readonly Node[] }> {
  const overlay = await Overlay.create(onCleanup, options);
  for (const host of bed.hosts) await overlay.addToFile(host);
  const nodes = await Promise.all(bed.hosts.map((host) => overlay.startNode(host, weftdOptions)));
  return { overlay, nodes };
}
