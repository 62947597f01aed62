/**
 * The bed: two hosts on one cable, and a pod behind each, routed. No bridge anywhere: what is measured is what is
 * between the pods.
 *
 *     pod1 10.5.1.2 ── host1 192.0.2.1 ════════ 192.0.2.2 host2 ── 10.5.2.2 pod2
 *
 * Each subject has a bed of its own, so that subjects can be measured in turn without starting anything. With more
 * than one peer, host2 and pod2 stand for all of them: they have the addresses of hosts 2, 3, … and of their pods.
 */
import { Capture } from "../test/support/capture.js";
import { connect, Namespace } from "../test/support/netns.js";
import type { Overlay } from "../test/support/overlay.js";
import type { OnCleanup } from "../test/support/process.js";
import { iperf } from "../test/support/traffic.js";
import type { Weftd } from "../test/support/weftd.js";

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
  /** How many hosts host1 sends to. */
  readonly peers: number;
}

/** One host as the others see it. */
export interface Place {
  readonly index: number;
  /** On the underlay. */
  readonly address: string;
  /** Its pods', a /24. */
  readonly subnet: string;
}

export interface Site extends Place {
  readonly ns: Namespace;
  /** What it stands for: itself, and with many peers the others too. */
  readonly places: readonly [Place, ...Place[]];
}

/** From where traffic comes, and where it goes. */
export interface Ends {
  readonly client: Namespace;
  readonly server: Namespace;
  /** The server's, one per peer. */
  readonly addresses: readonly [string, ...string[]];
  /** Null where nothing of weft is between them. */
  readonly weft: { readonly overlay: Overlay; readonly daemons: readonly Weftd[] } | null;
}

const BURST_MEGABYTES = 4;
/** Of its thousands of datagrams, or dozens of super-packets; a capture misses some. */
const CAPTURED_AT_LEAST = 30;
const ETHERNET_HEADER = 14;

export class Bed {
  private constructor(
    readonly setting: Setting,
    readonly sites: readonly [Site, Site],
    readonly onCleanup: OnCleanup,
  ) {}

  static async create(setting: Setting, onCleanup: OnCleanup): Promise<Bed> {
    const one = await createSite([place(1)], onCleanup);
    const others = Array.from({ length: setting.peers - 1 }, (_, i) => place(3 + i));
    const two = await createSite([place(2), ...others], onCleanup);
    await connect(one.ns, "eth0", two.ns, "eth0", setting.mtu);
    const segments = setting.model === "wire" ? "off" : "on";
    for (const { ns, places } of [one, two]) {
      await ns.ip(...places.map(({ address }) => `addr add ${address}/24 dev eth0`));
      const features = ["tso", "gso", "tx-udp-segmentation"].flatMap((feature) => [feature, segments]);
      await ns.run("ethtool", ["-K", "eth0", ...features, "gro", "on"]);
    }
    return new Bed(setting, [one, two], onCleanup);
  }

  /** Each site with the other. */
  get pairs(): readonly [Site, Site][] {
    const [one, two] = this.sites;
    return [
      [one, two],
      [two, one],
    ];
  }

  /** Attaches a pod to each host, with the MTU that the way between them has, and returns them as ends. */
  async addPods(mtu: number, weft: Ends["weft"] = null): Promise<Ends> {
    const [one, two] = this.sites;
    const [client, server] = [await this.#addPod(one, mtu), await this.#addPod(two, mtu)];
    const [own, ...others] = two.places;
    return { client, server, addresses: [pod(own), ...others.map(pod)], weft };
  }

  async #addPod({ index, ns, places }: Site, mtu: number): Promise<Namespace> {
    const inside = await Namespace.create(`pod${index}`, this.onCleanup);
    await connect(inside, "eth0", ns, "pod", mtu);
    await ns.ip(...places.map((each) => `addr add 10.5.${each.index}.1/24 dev pod`));
    await inside.ip(...places.map((each) => `addr add ${pod(each)}/24 dev eth0`));
    await inside.ip(`route add default via 10.5.${index}.1`);
    return inside;
  }

  /** What the cable's ends do by themselves: the features that ethtool says are on. */
  async features(): Promise<string[]> {
    const text = await this.sites[0].ns.run("ethtool", ["-k", "eth0"]);
    return [...text.matchAll(/^\s*(\S+): on/gm)].map(([, name = ""]) => name);
  }

  /**
   * Rejects when the wire carries what no wire does: a burst of TCP is captured where it arrives, with coalescing off
   * meanwhile, since a capture sees what was coalesced.
   */
  async mustCarryNothingLong({ client, server, addresses }: Ends): Promise<void> {
    const { ns } = this.sites[1];
    await ns.run("ethtool", ["-K", "eth0", "gro", "off"]);
    const capture = await Capture.start(ns, "eth0", "ip", this.onCleanup);
    await iperf(client, server, addresses[0], { megabytes: BURST_MEGABYTES });
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

function place(index: number): Place {
  return { index, address: `192.0.2.${index}`, subnet: `10.5.${index}.0/24` };
}

function pod({ index }: Place): string {
  return `10.5.${index}.2`;
}

async function createSite(places: readonly [Place, ...Place[]], onCleanup: OnCleanup): Promise<Site> {
  const ns = await Namespace.create(`host${places[0].index}`, onCleanup);
  await ns.sysctl({ "net.ipv4.ip_forward": 1 });
  return { ...places[0], ns, places };
}
