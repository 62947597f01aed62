/** load.c and tcp.c from TypeScript: TCP, UDP at a rate, the highest rate without loss, and request-response. */
import { join } from "node:path";
import { type Program, until } from "../test/support/process.js";
import type { Ends } from "./bed.js";
import { root } from "./environment.js";

const load = join(root, "native/out/load");
const tcp = join(root, "native/out/tcp");
const TCP_PORT = 7002;
const SINK_PORT = 7000;
const ECHO_PORT = 7001;
/** What may be lost: one in a thousand. */
const TOLERATED = 0.001;
/** Of the rate at which they were sent, at which they must come. */
const KEPT_UP = 0.9;
const SEARCH_STEPS = 7;

export interface Stream {
  /** Of payload in each datagram. */
  readonly bytes: number;
  readonly flows: number;
  /** How many the application hands over at once with UDP_SEGMENT; 1 = each by itself, with sendmmsg. */
  readonly run: number;
}

export interface Delivery {
  readonly sent: number;
  readonly received: number;
  /** Per second: while they were sent, and until the last of them had come. */
  readonly offered: number;
  readonly delivered: number;
  /** Behind a later datagram of the same flow, or twice. */
  readonly reordered: number;
  /** Lost at the sink itself: more than 0 means that the sink was the bottleneck. */
  readonly overflows: number;
}

/** What `load send` and `load sink` print. */
interface Sent {
  readonly run: number;
  readonly sent: number;
  readonly seconds: number;
}
interface Taken {
  readonly run: number;
  readonly received: number;
  readonly reordered: number;
  readonly overflows: number;
  readonly seconds: number;
}

/** A sink in the server's namespace, and senders in the client's. */
export class Loader {
  #overflows = 0;
  #answers = 0;

  private constructor(
    private readonly ends: Ends,
    private readonly sink: Program,
  ) {}

  static async create(ends: Ends): Promise<Loader> {
    const sink = ends.server.start(load, ["sink", `${SINK_PORT}`]);
    await sink.line(/^ready$/);
    return new Loader(ends, sink);
  }

  stop(): Promise<unknown> {
    return this.sink.stop();
  }

  /** Sends `perSecond` datagrams a second (0: as many as go) and counts what came, once nothing more comes. */
  async send({ bytes, flows, run }: Stream, perSecond: number, milliseconds: number): Promise<Delivery> {
    const { client, addresses } = this.ends;
    const numbers = [SINK_PORT, bytes, flows, perSecond, milliseconds, run].map(String);
    const sent = JSON.parse(await client.run(load, ["send", addresses.join(","), ...numbers])) as Sent;
    const taken = await this.#count();
    const overflows = taken.overflows - this.#overflows;
    this.#overflows = taken.overflows;
    const offered = sent.sent / sent.seconds;
    // The sink remembers an earlier run when nothing came of this one.
    if (taken.run !== sent.run) {
      return { sent: sent.sent, received: 0, offered, delivered: 0, reordered: 0, overflows };
    }
    const { received, reordered } = taken;
    const delivered = received / Math.max(taken.seconds, sent.seconds);
    return { sent: sent.sent, received, offered, delivered, reordered, overflows };
  }

  async #count(): Promise<Taken> {
    this.sink.write("");
    const answers = (): string[] => this.sink.stdout.filter((line) => line.startsWith("{"));
    const line = await until("the sink's count", () => answers()[this.#answers] ?? null);
    this.#answers++;
    return JSON.parse(line) as Taken;
  }

  /**
   * The highest rate that is carried, found by halving, each try taking `milliseconds`. Where even as many as go are,
   * the sender is the limit, and that is the rate.
   */
  async lossFreeRate(stream: Stream, milliseconds: number): Promise<Delivery> {
    const flood = await this.send(stream, 0, milliseconds);
    if (carried(flood)) return flood;
    let best: Delivery = { ...flood, delivered: 0 };
    let [low, high] = [0, flood.offered];
    let rate = flood.delivered;
    for (let step = 0; step < SEARCH_STEPS; step++) {
      const delivery = await this.send(stream, Math.round(rate), milliseconds);
      if (carried(delivery)) [low, best] = [rate, delivery];
      else high = rate;
      rate = (low + high) / 2;
    }
    return best;
  }
}

/** Whether hardly anything was lost, nor only put off: a long queue takes more for a while than it can pass on. */
function carried({ sent, received, offered, delivered }: Delivery): boolean {
  return sent - received <= sent * TOLERATED && delivered >= offered * KEPT_UP;
}

/** Round trips of one request after the other, in microseconds. */
export interface RoundTrips {
  readonly answers: number;
  readonly lost: number;
  readonly p50: number;
  readonly p99: number;
}

export async function ask(ends: Ends, bytes: number, milliseconds: number): Promise<RoundTrips> {
  const echo = ends.server.start(load, ["echo", `${ECHO_PORT}`]);
  await echo.line(/^ready$/);
  const args = ["ask", ends.addresses[0], `${ECHO_PORT}`, `${bytes}`, `${milliseconds}`];
  const output = await ends.client.run(load, args);
  await echo.stop();
  return JSON.parse(output) as RoundTrips;
}

export interface Transfer {
  readonly bytes: number;
  /** From the first connection to the last byte, at the receiver. */
  readonly seconds: number;
  readonly retransmits: number;
}

/** TCP, as much as goes, over `streams` connections at once. */
export async function transfer(ends: Ends, streams: number, milliseconds: number): Promise<Transfer> {
  const sink = ends.server.start(tcp, ["sink", `${TCP_PORT}`]);
  await sink.line(/^ready$/);
  const args = ["send", ends.addresses[0], `${TCP_PORT}`, `${streams}`, `${milliseconds}`];
  const sent = JSON.parse(await ends.client.run(tcp, args)) as Pick<Transfer, "retransmits">;
  const received = JSON.parse(await sink.line(/^\{/)) as Pick<Transfer, "bytes" | "seconds">;
  await sink.stop();
  return { ...sent, ...received };
}

/** Does `what` while no processor sleeps, for at most `milliseconds`. */
export async function keepAwake<T>(ends: Ends, milliseconds: number, what: () => Promise<T>): Promise<T> {
  const awake = ends.client.start(load, ["awake", `${milliseconds}`]);
  await awake.line(/^ready$/);
  try {
    return await what();
  } finally {
    await awake.stop("SIGKILL");
  }
}
