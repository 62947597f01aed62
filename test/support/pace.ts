/**
 * Datagrams at a rate that no Node program reaches: a few lines of C (pace.c), compiled when they are needed, send
 * them; the kernel of the receiving namespace counts and swallows them.
 */
import { compile } from "./compile.js";
import type { Namespace } from "./netns.js";
import { type OnCleanup, type Program, until } from "./process.js";

export interface Pace {
  readonly address: string;
  readonly port: number;
  readonly data: Uint8Array;
  /** Datagrams; 0: as many as go. */
  readonly perSecond: number;
  readonly milliseconds: number;
}

export class Pacer {
  private constructor(private readonly program: string) {}

  static async build(onCleanup: OnCleanup): Promise<Pacer> {
    return new Pacer(await compile("pace", onCleanup));
  }

  /** Sends to the end; returns how many datagrams were sent. */
  async send(ns: Namespace, pace: Pace): Promise<number> {
    return Number(await ns.run(this.program, argumentsOf(pace)));
  }

  /** Sends until it is stopped, or to the end. */
  start(ns: Namespace, pace: Pace): Program {
    return ns.start(this.program, argumentsOf(pace));
  }
}

function argumentsOf({ address, port, data, perSecond, milliseconds }: Pace): string[] {
  return [address, port, perSecond, milliseconds, Buffer.from(data).toString("hex")].map(String);
}

/** Counts the IPv4 UDP datagrams of one size that reach a port of a namespace, in its kernel. */
export class Sink {
  private constructor(
    private readonly ns: Namespace,
    private readonly size: number,
  ) {}

  /** `size`: bytes of data in each datagram. */
  static async open(ns: Namespace, port: number, size: number): Promise<Sink> {
    await ns.nft(`
      table inet sink {
        counter arrived { }
        chain in {
          type filter hook prerouting priority -300;
          udp dport ${port} counter name arrived drop
        }
      }`);
    return new Sink(ns, size);
  }

  async count(): Promise<number> {
    const text = await this.ns.run("/usr/sbin/nft", ["list", "counter", "inet", "sink", "arrived"]);
    const [, packets, bytes] = /packets (\d+) bytes (\d+)/.exec(text) ?? [];
    // A run of them may come as one super-packet, which has one pair of headers.
    return (Number(bytes) - 28 * Number(packets)) / this.size;
  }

  /** Waits until nothing more has arrived for a fifth of a second; returns how many did. */
  async rest(): Promise<number> {
    let last = { count: -1, at: 0 };
    return until("the end of a stream", async () => {
      const [count, at] = [await this.count(), performance.now()];
      if (count !== last.count) last = { count, at };
      return at - last.at > 200 ? count : null;
    });
  }
}
