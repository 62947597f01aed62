/**
 * The bed: two hosts on one cable, and a pod behind each, routed. No bridge anywhere: what is measured is what is
 * between the pods.
 *
 *     pod1 10.5.1.2 ── host1 192.0.2.1 ════════ 192.0.2.2 host2 ── 10.5.2.2 pod2
 *
 * Each subject has a bed of its own, so that subjects can be measured in turn without starting anything.
 */
import { Capture } from "../test/support/capture.js";
import { connect, Namespace } from "../test/support/netns.js";
import type { OnCleanup } from "../test/support/process.js";
import { iperf } from "../test/support/traffic.js";

/**
 * What the cable is: "wire" as a NIC without tunnel offloads, so that nothing longer than the MTU crosses it; "offload"
 * as veth can be, so that super-packets cross it whole.
 */
export type Model = "wire" | "offload";
export const models: readonly Model[] = ["wire", "offload"];

export interface Setting {
  readonly model: Model;
  /** Of the underlay. */
  readonly mtu: number;
}

export interface Site {
  readonly index: 1 | 2;
  readonly ns: Namespace;
  /** On the underlay. */
  readonly address: string;
  /** Its pod's, a /24. */
  readonly subnet: string;
}

/** From where traffic comes, and where it goes. */
export interface Ends {
  readonly client: Namespace;
  readonly server: Namespace;
  /** The server's. */
  readonly address: string;
}

const BURST_MEGABYTES = 4;
/** Of the burst's thousands of datagrams; a capture misses some. */
const CAPTURED_AT_LEAST = 300;
const ETHERNET_HEADER = 14;

export class Bed {
  private constructor(
    readonly setting: Setting,
    readonly sites: readonly [Site, Site],
    readonly onCleanup: OnCleanup,
  ) {}

  static async create(setting: Setting, onCleanup: OnCleanup): Promise<Bed> {
    const [one, two] = [await createSite(1, onCleanup), await createSite(2, onCleanup)];
    await connect(one.ns, "eth0", two.ns, "eth0", setting.mtu);
    const segments = setting.model === "wire" ? "off" : "on";
    for (const { ns, address } of [one, two]) {
      await ns.ip(`addr add ${address}/24 dev eth0`);
      const features = ["tso", "gso", "tx-udp-segmentation"].flatMap((feature) => [feature, segments]);
      await ns.run("ethtool", ["-K", "eth0", ...features, "gro", "on"]);
    }
    return new Bed(setting, [one, two], onCleanup);
  }

  /** Attaches a pod to each host, with the MTU that the way between them has, and returns them as ends. */
  async addPods(mtu: number): Promise<Ends> {
    const [client, server] = await Promise.all(this.sites.map((site) => this.#addPod(site, mtu)));
    if (client === undefined || server === undefined) throw new Error("a bed has two sites");
    return { client, server, address: "10.5.2.2" };
  }

  async #addPod({ index, ns }: Site, mtu: number): Promise<Namespace> {
    const pod = await Namespace.create(`pod${index}`, this.onCleanup);
    await connect(pod, "eth0", ns, "pod", mtu);
    await ns.ip(`addr add 10.5.${index}.1/24 dev pod`);
    await pod.ip(`addr add 10.5.${index}.2/24 dev eth0`, `route add default via 10.5.${index}.1`);
    return pod;
  }

  /**
   * Rejects when the wire carries what no wire does: a burst of TCP is captured where it arrives, with coalescing off
   * meanwhile, since a capture sees what was coalesced.
   */
  async mustCarryNothingLong(ends: Ends): Promise<void> {
    const { ns } = this.sites[1];
    await ns.run("ethtool", ["-K", "eth0", "gro", "off"]);
    const capture = await Capture.start(ns, "eth0", "ip", this.onCleanup);
    await iperf(ends.client, ends.server, ends.address, { megabytes: BURST_MEGABYTES });
    const lengths = (await capture.stopWhole(CAPTURED_AT_LEAST)).map(
      (frame) => frame.length - ETHERNET_HEADER,
    );
    await ns.run("ethtool", ["-K", "eth0", "gro", "on"]);
    const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
    if (longest > this.setting.mtu) {
      throw new Error(
        `not a wire: a datagram of ${longest} bytes crossed it, whose MTU is ${this.setting.mtu}`,
      );
    }
  }
}

async function createSite(index: 1 | 2, onCleanup: OnCleanup): Promise<Site> {
  const ns = await Namespace.create(`host${index}`, onCleanup);
  await ns.sysctl({ "net.ipv4.ip_forward": 1 });
  return { index, ns, address: `192.0.2.${index}`, subnet: `10.5.${index}.0/24` };
}
