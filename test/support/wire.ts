/**
 * A bad wire in a bed of hosts: the cable of one host is cut, and a program of our own (wire.c) carries the frames
 * across, as badly as it is told, and keeps account of each.
 *
 *     host1 eth0 ── host1 [wire] far ── cable1 ─ br0 (the bed's switch) ── other hosts
 *                   └─ namespace "cut" ─┘
 */
import { compile } from "./compile.js";
import type { Bed, Host } from "./hosts.js";
import { connect, Namespace } from "./netns.js";
import { type OnCleanup, type Program, until } from "./process.js";

/** What is done to the tunnel's frames; absent: not done. Probabilities are between 0 and 1. */
export interface Impairment {
  readonly loss?: number;
  readonly duplicate?: number;
  /** One bit behind the Ethernet header flips; the checksums stay as they were. */
  readonly flip?: number;
  /** One bit of the UDP payload flips, and the UDP checksum is taken out, so that no kernel notices. */
  readonly spoil?: number;
  /** The end of the UDP payload is cut off, and the outer headers agree. */
  readonly truncate?: number;
  /** Held back behind up to `distance` later frames. */
  readonly reorder?: number;
  readonly distance?: number;
  readonly delay_us?: number;
  readonly jitter_us?: number;
  readonly bits_per_second?: number;
  readonly queue_bytes?: number;
  /** Larger IP packets vanish without a word. */
  readonly mtu?: number;
}

/** Frames of the tunnel in one direction; wire.c says what each means. */
export interface WireAccount {
  readonly received: number;
  readonly sent: number;
  readonly lost: number;
  readonly limited: number;
  readonly oversize: number;
  readonly unsent: number;
  readonly duplicated: number;
  readonly flipped: number;
  readonly spoiled: number;
  readonly truncated: number;
  readonly held: number;
  readonly reordered: number;
  readonly other: number;
  readonly overflowed: number;
}

/** From the host whose cable was cut, and towards it. */
export type WireDirection = "from" | "to";

export class Wire {
  private constructor(
    private readonly program: Program,
    /** Where the program runs. */
    readonly ns: Namespace,
    readonly host: Host,
  ) {}

  /** `port`: the tunnel's. */
  static async cut(bed: Bed, host: Host, port: number, onCleanup: OnCleanup): Promise<Wire> {
    const program = await compile("wire", onCleanup);
    const ns = await Namespace.create("cut", onCleanup);
    await ns.sysctl({ "net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1 });
    const near = `host${host.index}`;
    const cable = `cable${host.index}`;
    await bed.wire.ip(`link set ${near} nomaster`, `link set ${near} netns ${ns.name}`);
    await ns.ip(`link set ${near} up`);
    await connect(ns, "far", bed.wire, cable, bed.mtu);
    await bed.wire.ip(`link set ${cable} master br0`);
    // What the switch itself sends must leave it as frames that a wire can carry.
    const off = ["tx", "tso", "gso", "tx-udp-segmentation"].flatMap((feature) => [feature, "off"]);
    await bed.wire.run("ethtool", ["-K", cable, ...off]);
    // veth hands frames on where their sender runs: of one that changes processors, or of a queue that several empty, some
    // would overtake others. A wire keeps their order, so one processor receives them.
    const receivers: [Namespace, string][] = [
      [ns, near],
      [bed.wire, cable],
      [host.ns, "eth0"],
    ];
    for (const [at, device] of receivers) {
      await at.run("sh", ["-c", `echo 1 > /sys/class/net/${device}/queues/rx-0/rps_cpus`]);
    }
    const wire = new Wire(ns.start(program, [near, "far", String(port)]), ns, host);
    await wire.program.line(/^carrying$/);
    return wire;
  }

  /** Adds to what is done already; in both directions unless one is named. */
  async impair(impairment: Impairment, only: WireDirection | null = null): Promise<void> {
    const words = Object.entries(impairment).map(([name, value]) => `${name}=${String(value)}`);
    for (const [number, direction] of (["from", "to"] as const).entries()) {
      if (only === null || only === direction) await this.order(`set ${number} ${words.join(" ")}`);
    }
  }

  /** Nothing is done to frames any more; accounts and numbers begin anew, fates with another seed. */
  async reset(seed: number): Promise<void> {
    await this.order(`reset ${seed}`);
  }

  async report(): Promise<Readonly<Record<WireDirection, WireAccount>>> {
    const [from, to] = JSON.parse(await this.ask("report")) as [WireAccount, WireAccount];
    return { from, to };
  }

  /** Pulls the plug on the host's side, or puts it in again: the host sees its carrier go and come. */
  async plug(state: "up" | "down"): Promise<void> {
    await this.ns.ip(`link set host${this.host.index} ${state}`);
  }

  private async order(line: string): Promise<void> {
    const answer = await this.ask(line);
    if (answer !== "ok") throw new Error(`wire: ${line}: ${answer}`);
  }

  /** Lines are answered in turn: one at a time. */
  private async ask(line: string): Promise<string> {
    const answered = this.program.stdout.length;
    this.program.write(line);
    return until(`an answer to "${line}"`, () => {
      if (this.program.exit !== null) throw new Error(this.program.describe());
      return this.program.stdout[answered] ?? null;
    });
  }
}
