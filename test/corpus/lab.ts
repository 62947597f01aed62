/**
 * Where the corpus runs: one daemon on a bed of four hosts, taps on its TUN and on its underlay device, an agent on
 * each other host. A case is sent and a sentinel behind it, on the same way; when the sentinel has come out, whatever
 * came out before it is the case's, and the counters say what became of the rest. Each tap sees a sentinel of its own:
 * two taps need not be equally quick.
 *
 * The kernel of host1 is kept out of it: what comes out of weft0 is seen by the tap and then dropped, and nothing but
 * the tap sends into weft0.
 */
import { Agent } from "../support/agent.js";
import { Bed } from "../support/hosts.js";
import type { Namespace } from "../support/netns.js";
import { completed, NO_OFFLOAD, Tap } from "../support/tap.js";
import { Overlay } from "../support/overlay.js";
import { readPacket, UDP, viewOf } from "../support/packets.js";
import { type OnCleanup, until } from "../support/process.js";
import { udp } from "../support/craft.js";
import type { Weftd } from "../support/weftd.js";
import {
  encapsulated,
  hosts,
  type Lab,
  mac,
  rx4,
  type RxCase,
  tx4,
  type TxCase,
  underlayAddress,
  type Who,
} from "./case.js";
import { addObstacles, keepQuiet } from "./lab-host.js";

/** What came out, as text that a failed comparison shows well. */
type Output = Record<string, unknown>;

const SENTINEL_PORT = 7;

export class CorpusLab {
  #sentinels = 0;
  #counters = new Map<string, number>();

  private constructor(
    readonly lab: Lab,
    readonly weftd: Weftd,
    private readonly us: Namespace,
    private readonly tun: Tap,
    private readonly wire: Tap,
    private readonly agents: ReadonlyMap<Who, Agent>,
  ) {}

  static async start(onCleanup: OnCleanup, lab: Lab): Promise<CorpusLab> {
    const bed = await Bed.create(onCleanup, { hosts: 4, underlay: lab.underlay });
    const overlay = await Overlay.create(onCleanup, { format: lab.format, ipv6: lab.format === "vxlan" });
    const nodes = (Object.keys(hosts) as Who[]).filter((who) => who !== "stranger");
    for (const who of nodes) {
      const host = { index: hosts[who], address: underlayAddress(who, lab) };
      await overlay.addToFile(host, lab.format === "vxlan" ? mac(who) : undefined);
    }
    const us = bed.host(1);
    await addObstacles(us.ns, lab);
    await keepQuiet(us.ns);
    const weftd = await overlay.startWeftd(us);
    // Someone may raise the device's MTU: what is larger than the tunnel carries must then be refused by weft itself.
    await us.ns.ip("link set weft0 mtu 65535");
    const taps = await Promise.all([Tap.start(us.ns, "weft0"), Tap.start(us.ns, "eth0")]);
    const agents = new Map<Who, Agent>();
    for (const who of ["peer", "other", "stranger"] as const) {
      const agent = await Agent.start(bed.host(hosts[who]).ns);
      await agent.do("udp-open", { address: underlayAddress(who, lab), port: lab.port });
      agents.set(who, agent);
    }
    const started = new CorpusLab(lab, weftd, us.ns, ...taps, agents);
    await started.#moved();
    return started;
  }

  /** Runs a case and returns what is wrong: nothing, or sentences. */
  async rx(test: RxCase): Promise<string[]> {
    const outcome = test.outcome(this.lab);
    const before = this.#mark();
    if (test.tunDown) await this.#whileTunIsDown(test.sent.length, () => this.#sendAll(test));
    else await this.#sendAll(test);
    const tun = await this.#outOfTun(before.tun);
    const expectedTun =
      outcome.kind === "delivered"
        ? outcome.packets.map(({ bytes, gsoSize }) => ({ packet: hex(bytes), gsoSize }))
        : [];
    const expectedWire =
      outcome.kind === "answered"
        ? [{ to: underlayAddress(test.from, this.lab), tos: 0, payload: hex(outcome.payload), problems: [] }]
        : [];
    // An answer leaves when the worker has dealt with all it found, so perhaps behind the sentinel.
    const wire = await this.#atLeast(expectedWire.length, () => this.#fromWire(before.wire));
    const n = test.sent.length;
    const counters: Record<string, number> = { "rx packets": 1, "rx forwarded": 1 };
    if (outcome.kind !== "unseen") add(counters, "rx packets", n);
    if (outcome.kind === "delivered") add(counters, "rx forwarded", n);
    if (outcome.kind === "answered") {
      add(counters, "rx consumed", n);
      add(counters, "tx datagrams", n);
    }
    if (outcome.kind === "dropped") add(counters, `rx ${outcome.reason}`, n);
    return [
      ...differences("out of the TUN", expectedTun, tun),
      ...differences("on the wire", expectedWire, wire),
      ...(await this.#counted(counters)),
    ];
  }

  async tx(test: TxCase): Promise<string[]> {
    const outcome = test.outcome(this.lab);
    const before = this.#mark();
    const packets = test.packets(this.lab);
    for (const packet of packets) await this.tun.send(packet, offloadHeader(test, packet));
    const sentinel = this.#sentinel(tx4);
    await this.tun.send(sentinel);
    const wire = await this.#until(sentinel, () => this.#fromWire(before.wire));
    const tun = await this.#outOfTun(before.tun);
    const expectedWire =
      outcome.kind === "sent"
        ? outcome.packets.map((packet) => ({
            to: underlayAddress(outcome.to, this.lab),
            tos: outcome.tos,
            payload: hex(this.#encapsulatedTo(packet, outcome.to)),
            problems: [],
          }))
        : [];
    const icmp = outcome.kind === "dropped" ? outcome.icmp : null;
    const expectedTun = icmp === null ? [] : [{ packet: hex(icmp), gsoSize: 0 }];
    const n = packets.length;
    const counters: Record<string, number> = {
      ...{ "tx packets": n + 1, "tx forwarded": 1 },
      ...{ "rx packets": 1, "rx forwarded": 1 },
    };
    add(counters, "tx datagrams", 1 + expectedWire.length);
    if (outcome.kind === "sent") add(counters, "tx forwarded", n);
    if (outcome.kind === "dropped") add(counters, `tx ${outcome.reason}`, n);
    if (icmp !== null) add(counters, "tx icmp_errors", 1);
    return [
      ...differences("on the wire", expectedWire, wire),
      ...differences("out of the TUN", expectedTun, tun),
      ...(await this.#counted(counters)),
    ];
  }

  async #sendAll(test: RxCase): Promise<void> {
    for (const make of test.sent) {
      const sending = make(this.lab);
      const agent = this.#agent(test.from);
      const address = underlayAddress("us", this.lab);
      if ("payload" in sending) {
        await agent.do("udp-send", { hex: hex(sending.payload), address, port: this.lab.port });
      } else {
        for (const packet of sending.packets) await agent.do("raw-send", { hex: hex(packet), address });
      }
    }
  }

  /** Takes weft0 down, and up again when that many packets more have been received. */
  async #whileTunIsDown(packets: number, send: () => Promise<void>): Promise<void> {
    const received = (): Promise<number> => this.weftd.counter("rx", "packets");
    const before = await received();
    await this.us.ip("link set weft0 down");
    await send();
    await until("packets to a device that is down", async () =>
      (await received()) >= before + packets ? true : null,
    );
    await this.us.ip("link set weft0 up");
  }

  #agent(who: Who): Agent {
    const agent = this.agents.get(who);
    if (agent === undefined) throw new Error(`there is no agent on ${who}`);
    return agent;
  }

  #mark(): { readonly tun: number; readonly wire: number } {
    return { tun: this.tun.seen().length, wire: this.wire.seen().length };
  }

  /** A packet that is certainly forwarded, different each time. */
  #sentinel(fields: { readonly source: string; readonly destination: string }): Uint8Array {
    const id = ++this.#sentinels;
    return udp(
      { ...fields, sourcePort: SENTINEL_PORT, destinationPort: SENTINEL_PORT, id },
      `sentinel ${id}`,
    );
  }

  /** Sends a sentinel from the peer and returns what came out of the TUN before it. */
  async #outOfTun(mark: number): Promise<Output[]> {
    const sentinel = this.#sentinel(rx4);
    await this.#agent("peer").do("udp-send", {
      hex: hex(encapsulated(sentinel, this.lab, "peer")),
      address: underlayAddress("us", this.lab),
      port: this.lab.port,
    });
    return this.#until(sentinel, () => this.#fromTun(mark));
  }

  /** Waits for the sentinel and returns what came before it. */
  async #until(sentinel: Uint8Array, outputs: () => Output[]): Promise<Output[]> {
    // TTL and header checksum may have changed on the way.
    const mark = hex(sentinel.subarray(28));
    const isSentinel = (output: Output): boolean => JSON.stringify(output).includes(mark);
    return until("the sentinel behind a case", () => {
      const all = outputs();
      const at = all.findIndex(isSentinel);
      return at === -1 ? null : all.slice(0, at);
    });
  }

  /** Waits until that much came out, and returns all that did; less when time is up. */
  async #atLeast(count: number, outputs: () => Output[]): Promise<Output[]> {
    const enough = until("all of a case", () => (outputs().length >= count ? true : null), 1000);
    await enough.catch(() => undefined);
    return outputs();
  }

  #fromTun(mark: number): Output[] {
    return this.tun
      .seen()
      .slice(mark)
      .filter(({ direction }) => direction === "in")
      .map((tapped) => ({ packet: hex(completed(tapped)), gsoSize: tapped.offload.gsoSize }));
  }

  /** The tunnel's datagrams that left, taken apart. */
  #fromWire(mark: number): Output[] {
    return this.wire
      .seen()
      .slice(mark)
      .filter(
        ({ direction, bytes }) =>
          direction === "out" && [0x0800, 0x86dd].includes(viewOf(bytes).getUint16(12)),
      )
      .map(({ bytes }) => ({ bytes, packet: readPacket(bytes.subarray(14)) }))
      .filter(({ packet }) => packet.protocol === UDP || packet.fragment)
      .filter(({ packet }) => packet.fragment || viewOf(packet.payload).getUint16(2) === this.lab.port)
      .map(({ bytes, packet }) => ({
        to: packet.destination,
        tos: (viewOf(bytes).getUint16(14) >> (packet.version === 4 ? 0 : 4)) & 0xff,
        payload: hex(packet.payload.subarray(8)),
        problems: [
          ...packet.problems,
          ...(packet.fragment ? ["a fragment"] : []),
          ...(packet.df ? [] : ["no DF"]),
        ],
      }));
  }

  #encapsulatedTo(packet: Uint8Array, to: Who): Uint8Array {
    const bytes = encapsulated(packet, this.lab, "us");
    if (this.lab.format === "vxlan") bytes.set(Buffer.from(mac(to).replaceAll(":", ""), "hex"), 8);
    return bytes;
  }

  /** How the counters differ from what a case and its sentinel must have moved, once they had time to. */
  async #counted(expected: Readonly<Record<string, number>>): Promise<string[]> {
    const moved: Record<string, number> = {};
    const same = (): boolean => differences("", [expected], [moved]).length === 0;
    for (let tries = 0; tries < 20 && (tries === 0 || !same()); tries++) {
      for (const [name, by] of Object.entries(await this.#moved())) add(moved, name, by);
    }
    return differences("counters", [expected], [moved]);
  }

  /** Which counters moved since the last call, and how far. Left out: bytes, and errors of the underlay. */
  async #moved(): Promise<Record<string, number>> {
    const moved: Record<string, number> = {};
    for (const { name, direction, kind, value } of await this.weftd.ask("/counters")) {
      const key = `${direction} ${name}`;
      const by = value - (this.#counters.get(key) ?? 0);
      this.#counters.set(key, value);
      if (by !== 0 && (kind !== "other" || /^(datagrams|icmp_)/.test(name))) moved[key] = by;
    }
    return moved;
  }
}

function offloadHeader({ offload }: TxCase, packet: Uint8Array) {
  if (offload === null) return NO_OFFLOAD;
  const { gsoSize, start, offset } = offload;
  const six = (packet[0] ?? 0) >> 4 === 6;
  const tcp = six ? packet[6] === 6 : packet[9] === 6;
  const gsoType = gsoSize === 0 ? 0 : !tcp ? 5 : six ? 4 : 1;
  return { gsoType, gsoSize, checksum: { start, offset } };
}

function differences(where: string, expected: readonly object[], found: readonly object[]): string[] {
  const [wanted, got] = [expected, found].map((list) => JSON.stringify(list.map(sorted)));
  return wanted === got ? [] : [`${where}: ${wanted ?? ""} expected, ${got ?? ""} found`];
}

function sorted(object: object): object {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function add(counters: Record<string, number>, name: string, by: number): void {
  counters[name] = (counters[name] ?? 0) + by;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
