/**
 * A host of the model: it takes packets from its TUN and datagrams from its underlay, and keeps what outlives a
 * packet: tables, path MTUs, limits, packets waiting to be coalesced, and counters. Time is given to it.
 */
import { type Bytes, equal, hex } from "./bytes.js";
import { Coalescer, type Written } from "./coalesce.js";
import { icmpError } from "./icmp.js";
import { totalLength } from "./ip.js";
import { Bucket, IcmpLimits } from "./limits.js";
import { Paths } from "./path.js";
import type { Reason } from "./reasons.js";
import { decapsulate, type Received, split } from "./rx.js";
import type { Offload } from "./transport.js";
import { type Datagram, encapsulate, type Format, refused, type Refused } from "./tx.js";
import { writeFrame } from "./vxlan.js";
import type { World } from "./world.js";

export interface Settings {
  readonly format: Format;
  /** Whether received packets are coalesced, and UDP too. */
  readonly coalesce: boolean;
  readonly coalesceUdp: boolean;
}

/** Datagrams received from an underlay address, whatever became of them. */
export interface Sender {
  readonly datagrams: number;
  readonly bytes: number;
  /** 0 for never. */
  readonly lastMs: number;
}

const nothingSent: Sender = { datagrams: 0, bytes: 0, lastMs: 0 };

/** Null: not dropped. */
export type Verdict = Reason | null;

export class Host {
  nowMs = 0;
  /** By direction and name, as `weft counters` shows them; what is absent is zero. */
  readonly counters = new Map<string, number>();
  #world: World | null = null;
  readonly #paths = new Paths();
  /** What each underlay address sent, by its bytes. */
  #senders = new Map<string, Sender>();
  #datagrams: Datagram[] = [];
  #coalescer: Coalescer;
  readonly #icmp = new IcmpLimits();
  readonly #answers = new Bucket(50, 1000);

  constructor(private readonly settings: Settings) {
    this.#coalescer = new Coalescer(settings.coalesce, settings.coalesceUdp);
  }

  /** Other tables. What is known of a peer stays as long as it is in them. */
  setWorld(world: World): void {
    const addresses = world.peers.map(({ address }) => address);
    this.#world = world;
    this.#senders = new Map(
      addresses.map((address) => [hex(address), this.#senders.get(hex(address)) ?? nothingSent]),
    );
    this.#paths.keep(addresses);
  }

  /** Word of a path's MTU to a peer: from the own kernel, or from a router. About anybody else it is not heard. */
  learnPath(peer: Bytes, mtu: number, local: boolean): void {
    if (this.#senders.has(hex(peer))) this.#paths.learn(peer, mtu, local, this.nowMs);
  }

  /** What the peers sent, in the order of the tables' rows. */
  senders(): readonly Sender[] {
    return [...this.#senders.values()];
  }

  /** A packet read from the TUN; `reply` is an ICMP error that goes back there. */
  tx(data: Bytes, offload: Offload): { readonly verdict: Verdict; readonly reply: Bytes | null } {
    this.#count("tx packets");
    const sent = encapsulate(this.settings.format, this.#world, this.#paths, this.nowMs, data, offload);
    if (!("reason" in sent)) {
      this.#count("tx forwarded");
      this.#send(sent);
      return { verdict: null, reply: null };
    }
    this.#count(`tx drop ${sent.reason}`);
    return { verdict: sent.reason, reply: this.#reply(data, sent) };
  }

  /**
   * The underlay refuses the first datagram that waits, and tells the MTU of its path: the ICMP error about it. Null also
   * where so many wait that a worker has sent the first long since.
   */
  refuse(mtu: number): Bytes | null {
    const [first] = this.#datagrams;
    const peer = this.#world?.peers[first?.peer ?? -1];
    if (this.#world === null || first === undefined || peer === undefined) return null;
    if (this.#datagrams.length > 100) return null;
    this.#paths.learn(peer.address, mtu, true, this.nowMs);
    const told = refused(this.settings.format, this.#world, this.#paths, this.nowMs, first);
    return told === null ? null : this.#reply(told.inner, told.refused);
  }

  /** What the socket handed over: a verdict for each datagram in it. */
  rx(received: Received): { readonly verdict: Verdict; readonly length: number }[] {
    return split(this.settings.format, received.data, received.groSize).map((data) => {
      this.#count("rx packets");
      this.#count("rx bytes", data.length);
      this.#countSender(received.source, data.length);
      const verdict = this.#rxOne({ ...received, data });
      if (verdict !== null) this.#count(`rx drop ${verdict}`);
      return { verdict, length: data.length };
    });
  }

  /** Ends a round: everything that waited, in order. */
  flush(): { readonly datagrams: readonly Datagram[]; readonly written: readonly Written[] } {
    this.#coalescer.flush();
    const { written } = this.#coalescer;
    this.#coalescer = new Coalescer(this.settings.coalesce, this.settings.coalesceUdp);
    for (const { segments } of written) this.#count("rx forwarded", segments);
    const datagrams = this.#datagrams;
    this.#datagrams = [];
    return { datagrams, written };
  }

  #rxOne(received: Received): Verdict {
    const result = decapsulate(this.settings.format, this.#world, received);
    if (typeof result === "string") return result;
    if ("packet" in result) {
      this.#coalescer.receive(result);
      return null;
    }
    if (!this.#answers.take(this.nowMs)) return "neighbour";
    this.#count("rx consumed");
    const world = this.#world;
    const peer = world?.peers.findIndex(({ address }) => equal(address, received.source)) ?? 0;
    this.#send([{ peer, port: 0, tos: 0, data: writeFrame(world?.self.vni ?? 0, result.answer) }]);
    return null;
  }

  #send(datagrams: readonly Datagram[]): void {
    this.#datagrams.push(...datagrams);
    this.#count("tx datagrams", datagrams.length);
    for (const { data } of datagrams) this.#count("tx bytes", data.length);
  }

  #reply(data: Bytes, { reason, packet, mtu }: Refused): Bytes | null {
    if (packet === null || this.#world === null) return null;
    const original = data.subarray(0, totalLength(packet));
    const error = icmpError(reason, packet, original, this.#world, mtu);
    if (error === null) return null;
    const allowed = this.#icmp.allow(packet.source, reason === "too_big", this.nowMs);
    this.#count(allowed ? "tx icmp_errors" : "tx icmp_limited");
    return allowed ? error : null;
  }

  #countSender(source: Bytes, length: number): void {
    const before = this.#senders.get(hex(source));
    if (before === undefined) return;
    const { datagrams, bytes } = before;
    this.#senders.set(hex(source), { datagrams: datagrams + 1, bytes: bytes + length, lastMs: this.nowMs });
  }

  #count(name: string, n = 1): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + n);
  }
}
