/**
 * A bed of hosts: one underlay switch (a bridge in its own namespace) and hosts cabled to it, each a namespace with
 * the addresses 192.0.2.<n> and 2001:db8::<n>. Pods hang behind a bridge `cni0` on their host, as a CNI plugin
 * would attach them, once it is known which subnet and MTU the host has.
 *
 *     pod ─ cni0 ─ host eth0 ───┐
 *                               br0 (the switch; captures are taken here)
 *     pod ─ cni0 ─ host eth0 ───┘
 */
import { connect, Namespace } from "./netns.js";
import type { OnCleanup } from "./process.js";

export interface BedOptions {
  readonly hosts: number;
  /** Which address families the underlay has; "ipv4" by default. */
  readonly underlay?: "ipv4" | "ipv6" | "dual";
  /**
   * False (the default): each host's cable is a NIC that neither segments nor checksums when sending, and coalesces
   * when receiving, so that everything on the wire is what a real wire would carry. True: as veth is by itself;
   * super-packets and unfinished checksums reach the other hosts.
   */
  readonly offloads?: boolean;
  readonly mtu?: number;
}

export interface Pod {
  readonly ns: Namespace;
  readonly address: string;
  /** Null without an IPv6 subnet. */
  readonly address6: string | null;
}

/** What a CNI plugin reads from `subnet.env`: the bridge's addresses with prefix lengths, and the pods' MTU. */
export interface PodNetwork {
  readonly subnet: string;
  readonly subnet6: string | null;
  readonly mtu: number;
}

export class Host {
  #pods = 0;

  constructor(
    readonly index: number,
    readonly ns: Namespace,
    /** Its address on the underlay, the IPv4 one if it has both. */
    readonly address: string,
    private readonly onCleanup: OnCleanup,
  ) {}

  /** Makes the bridge `cni0` on the first call; then adds a pod with the next free address, .2 first. */
  async addPod(network: PodNetwork): Promise<Pod> {
    const { subnet, subnet6, mtu } = network;
    const n = ++this.#pods;
    const pod = await Namespace.create(`pod${this.index}-${n}`, this.onCleanup);
    if (n === 1) {
      await this.ns.ip(
        "link add cni0 type bridge",
        `link set cni0 mtu ${mtu} up`,
        `addr add ${subnet} dev cni0`,
        ...(subnet6 === null ? [] : [`addr add ${subnet6} dev cni0 nodad`]),
      );
    }
    const address = member(subnet, n + 1);
    const address6 = subnet6 === null ? null : member(subnet6, n + 1);
    await connect(pod, "eth0", this.ns, `pod${n}`, mtu);
    await this.ns.ip(`link set pod${n} master cni0`);
    await pod.ip(
      `addr add ${address}/${length(subnet)} dev eth0`,
      `route add default via ${member(subnet, 1)}`,
      ...(subnet6 === null || address6 === null
        ? []
        : [
            `addr add ${address6}/${length(subnet6)} dev eth0 nodad`,
            `route add default via ${member(subnet6, 1)}`,
          ]),
    );
    return { ns: pod, address, address6 };
  }
}

export class Bed {
  readonly hosts: Host[] = [];

  private constructor(
    readonly wire: Namespace,
    readonly mtu: number,
    private readonly options: BedOptions,
    private readonly onCleanup: OnCleanup,
  ) {}

  static async create(onCleanup: OnCleanup, options: BedOptions): Promise<Bed> {
    const mtu = options.mtu ?? 1500;
    const wire = await Namespace.create("wire", onCleanup);
    await wire.ip(
      "link add br0 type bridge",
      `link set br0 mtu ${mtu} up`,
      "addr add 192.0.2.254/24 dev br0",
      "addr add 2001:db8::fe/64 dev br0 nodad",
    );
    const bed = new Bed(wire, mtu, options, onCleanup);
    for (let i = 0; i < options.hosts; i++) await bed.addHost();
    return bed;
  }

  /** The n-th host, counted from 1 as its address is. */
  host(n: number): Host {
    const host = this.hosts[n - 1];
    if (host === undefined) throw new RangeError(`the bed has no host ${n}`);
    return host;
  }

  async addHost(): Promise<Host> {
    const { underlay = "ipv4", offloads = false } = this.options;
    const n = this.hosts.length + 1;
    const ns = await Namespace.create(`host${n}`, this.onCleanup);
    await ns.sysctl({
      "net.ipv4.ip_forward": 1,
      "net.ipv6.conf.all.forwarding": 1,
      // The hosts' own ICMP errors are part of what tests look at; none may be held back by the kernel's limits.
      "net.ipv4.icmp_ratelimit": 0,
      "net.ipv6.icmp.ratelimit": 0,
    });
    await connect(ns, "eth0", this.wire, `host${n}`, this.mtu);
    await this.wire.ip(`link set host${n} master br0`);
    const v4 = [`addr add 192.0.2.${n}/24 dev eth0`, "route add default via 192.0.2.254"];
    const v6 = [
      `addr add 2001:db8::${n.toString(16)}/64 dev eth0 nodad`,
      "route add default via 2001:db8::fe",
    ];
    await ns.ip(...(underlay === "ipv6" ? [] : v4), ...(underlay === "ipv4" ? [] : v6));
    if (!offloads) {
      const off = ["tx", "tso", "gso", "tx-udp-segmentation"].flatMap((feature) => [feature, "off"]);
      await ns.run("ethtool", ["-K", "eth0", ...off, "gro", "on"]);
    }
    const address = underlay === "ipv6" ? `2001:db8::${n.toString(16)}` : `192.0.2.${n}`;
    const host = new Host(n, ns, address, this.onCleanup);
    this.hosts.push(host);
    return host;
  }
}

function length(prefix: string): string {
  return prefix.slice(prefix.indexOf("/") + 1);
}

/** The n-th address of a prefix that is written with its first one: 10.5.1.1/24 → 10.5.1.<n>, fd05::1/64 → fd05::<n>. */
function member(prefix: string, n: number): string {
  return prefix.replace(/1\/\d+$/, n.toString(prefix.includes(":") ? 16 : 10));
}
