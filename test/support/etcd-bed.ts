/**
 * A bed of hosts with an etcd on the last of them, and daemons that get their routes from it.
 *
 *     pod ─ cni0 ─ host1: weftd ──┬── host n+1: etcd
 *     pod ─ cni0 ─ host2: weftd ──┘
 */
import { join } from "node:path";
import { type Etcd, startEtcd } from "./etcd.js";
import { PREFIX } from "./etcd-nodes.js";
import { Bed, type BedOptions, type Host } from "./hosts.js";
import type { Node } from "./overlay.js";
import { type OnCleanup, temporaryDirectory } from "./process.js";
import { Weftd, type WeftdOptions } from "./weftd.js";

export class EtcdBed {
  private constructor(
    readonly bed: Bed,
    readonly etcd: Etcd,
    private readonly directory: string,
  ) {}

  /** @param config the network config; @param options `hosts` without etcd's own */
  static async start(onCleanup: OnCleanup, config: object, options: BedOptions): Promise<EtcdBed> {
    const bed = await Bed.create(onCleanup, { ...options, hosts: options.hosts + 1 });
    const { ns, address } = bed.host(options.hosts + 1);
    const etcd = await startEtcd(onCleanup, { netns: ns.name, address });
    await etcd.put(`${PREFIX}/config`, JSON.stringify(config));
    return new EtcdBed(bed, etcd, await temporaryDirectory(onCleanup));
  }

  /** Starts the daemon of a host, with the same directory when it ran before, and waits for nothing. */
  launch(host: Host, options: Partial<WeftdOptions> = {}, wrapper: readonly string[] = []): Promise<Weftd> {
    const args = [`--etcd-endpoints=${this.etcd.endpoint}`, `--node-id=host${host.index}`];
    return Weftd.launch(
      host.ns,
      join(this.directory, `host${host.index}`),
      { ...options, args: [...args, ...(options.args ?? [])] },
      wrapper,
    );
  }

  /** Starts the daemon of a host and a pod behind it, and waits until packets can flow. */
  async startNode(host: Host, options: Partial<WeftdOptions> = {}): Promise<Node> {
    const weftd = await this.launch(host, options);
    await weftd.ready();
    return { host, weftd, pod: await host.addPod(await weftd.podNetwork()) };
  }
}
