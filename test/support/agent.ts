/**
 * A peer inside a namespace: plain Node sockets (`agent-main.ts`) that a test commands from outside. It plays pods
 * that talk TCP and UDP, and nodes that speak flannel's udp format.
 */
import { fileURLToPath } from "node:url";
import type { Namespace } from "./netns.js";
import { type Program, until } from "./process.js";

export interface Datagram {
  readonly hex: string;
  readonly address: string;
  readonly port: number;
}

export interface StreamReport {
  /** Different datagrams of the stream that arrived. */
  readonly received: number;
  readonly duplicates: number;
  readonly reordered: number;
}

interface Address {
  readonly address: string;
  readonly port: number;
}

/** What an agent can do. */
export interface Operations {
  /** Tells everyone who connects the address that it sees them have, and hangs up. */
  "tcp-listen": { request: Address; result: null };
  /** Connects and returns what the other side said. Gives up after 8 s without a sign. */
  "tcp-ask": { request: Address; result: string };
  /** Takes one connection and keeps what it brings; `tcp-taken` returns its SHA-256 when the other side has ended it. */
  "tcp-take": { request: Address; result: null };
  "tcp-taken": { request: object; result: string };
  /** Connects, sends that many random bytes, and returns their SHA-256. */
  "tcp-pour": { request: Address & { readonly bytes: number }; result: string };
  /** Binds the agent's one socket for datagrams. */
  "udp-open": { request: Address; result: null };
  "udp-close": { request: object; result: null };
  "udp-send": { request: Address & { readonly hex: string }; result: null };
  /** Datagrams received since the last time. */
  "udp-take": { request: object; result: Datagram[] };
  /**
   * Sends an IP packet, header and all, past much that the kernel would refuse to send itself. Of an IPv4 header it
   * still writes the total length and the checksum.
   */
  "raw-send": { request: { readonly hex: string; readonly address: string }; result: null };
  /** Counts the numbered datagrams of a `stream-send`. */
  "stream-receive": { request: Address; result: null };
  "stream-report": { request: object; result: StreamReport };
  /** Sends numbered datagrams of `size` bytes, `perSecond` of them, until `stream-stop`, which returns how many. */
  "stream-send": { request: Address & { readonly perSecond: number; readonly size: number }; result: null };
  "stream-stop": { request: object; result: number };
}

/** The error of an operation that failed; `code` is Node's ("EHOSTUNREACH"), `ms` how long it took to fail. */
export class AgentError extends Error {
  constructor(
    readonly code: string,
    readonly ms: number,
  ) {
    super(`${code} after ${Math.round(ms)} ms`);
  }
}

const mainFile = fileURLToPath(new URL("agent-main.js", import.meta.url));

export class Agent {
  #requests = 0;
  private constructor(private readonly program: Program) {}

  static async start(ns: Namespace): Promise<Agent> {
    const program = ns.start(process.execPath, [mainFile]);
    await program.line(/^ready$/);
    return new Agent(program);
  }

  /** Carries out one operation; rejects with an AgentError when it failed there. */
  async do<Op extends keyof Operations>(
    op: Op,
    request: Operations[Op]["request"],
  ): Promise<Operations[Op]["result"]> {
    const id = ++this.#requests;
    this.program.write(JSON.stringify({ ...request, id, op }));
    const line = await this.program.line(new RegExp(`^\\{"id":${id},`));
    const answer = JSON.parse(line) as { result: Operations[Op]["result"]; error?: string; ms: number };
    if (answer.error !== undefined) throw new AgentError(answer.error, answer.ms);
    return answer.result;
  }

  /** Sends a datagram from this agent's socket to another agent's; returns the sender's address as that one sees it. */
  async reach(other: Agent, to: Address): Promise<string> {
    await this.do("udp-send", { hex: "77656674", ...to });
    return (await other.datagram()).address;
  }

  /** Waits for the next datagram. */
  async datagram(timeoutMs = 5000): Promise<Datagram> {
    return until("a datagram", async () => (await this.do("udp-take", {}))[0] ?? null, timeoutMs);
  }
}

/** A stream of numbered datagrams from one namespace to another, for tests that nothing is lost meanwhile. */
export class Stream {
  private constructor(
    private readonly sender: Agent,
    private readonly receiver: Agent,
  ) {}

  static async start(from: Namespace, to: Namespace, address: string): Promise<Stream> {
    const [sender, receiver] = await Promise.all([Agent.start(from), Agent.start(to)]);
    await receiver.do("stream-receive", { address, port: 9000 });
    await sender.do("stream-send", { address, port: 9000, perSecond: 500, size: 200 });
    const stream = new Stream(sender, receiver);
    await stream.received(50);
    return stream;
  }

  /** Waits until `more` datagrams than now have arrived. */
  async received(more: number): Promise<void> {
    const { received } = await this.receiver.do("stream-report", {});
    await until(`${more} more datagrams after ${received}`, async () =>
      (await this.receiver.do("stream-report", {})).received >= received + more ? true : null,
    );
  }

  /** Stops sending and waits until all has arrived, or nothing more does for a second. */
  async stop(): Promise<StreamReport & { readonly sent: number }> {
    const sent = await this.sender.do("stream-stop", {});
    let last = { received: -1, at: 0 };
    return until(
      "the end of the stream",
      async () => {
        const report = await this.receiver.do("stream-report", {});
        const now = performance.now();
        if (report.received !== last.received) last = { received: report.received, at: now };
        return report.received >= sent || now - last.at > 1000 ? { ...report, sent } : null;
      },
      30_000,
    );
  }
}
