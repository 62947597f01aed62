/**
 * Traffic that accounts for every packet: a sender and a receiver (ledger.c) in two namespaces. What a stream's end
 * tells is exact: each packet that the sender's kernel took was delivered once, or more often, or is lost.
 */
import { compile } from "./compile.js";
import type { Namespace } from "./netns.js";
import { type OnCleanup, type Program, until } from "./process.js";

export interface StreamOptions {
  readonly perSecond: number;
  /** Bytes of UDP payload, 32 to 1472; 100 by default. */
  readonly size?: number;
  /** Source ports that take turns; 4 by default. */
  readonly flows?: number;
  /** The sender ends by itself after this time; a minute by default. */
  readonly atMostMs?: number;
}

/** What became of a stream. */
export interface StreamAccount {
  readonly sent: number;
  /** Different packets that arrived. */
  readonly delivered: number;
  readonly duplicated: number;
  /** Datagrams that arrived and are not what was sent. */
  readonly corrupt: number;
  /** Arrived after a later packet of their flow. */
  readonly reordered: number;
  /** Arrived with numbers that were never sent. */
  readonly unsent: number;
  /** Dropped by the kernel in front of the receiver. */
  readonly receiverLost: number;
  /** The most packets of one flow that are missing in a row. */
  readonly longestHole: number;
  /** The longest time between two arrivals in which packets were under way. */
  readonly silenceUs: number;
  /** From the sender's call to the receiver's; of the packets that arrived. */
  readonly lateMedianUs: number;
  readonly late99Us: number;
  readonly lateMaxUs: number;
  /** How long it was sent, and how often the kernel refused to send. */
  readonly milliseconds: number;
  readonly refused: number;
}

interface SenderAccount {
  readonly milliseconds: number;
  readonly refused: number;
  readonly sent: readonly number[];
}

export class Ledger {
  private constructor(private readonly program: string) {}

  static async build(onCleanup: OnCleanup): Promise<Ledger> {
    return new Ledger(await compile("ledger", onCleanup));
  }

  /** Starts a stream to `port` of `address`, which is in `to`. */
  async start(
    from: Namespace,
    to: Namespace,
    address: string,
    port: number,
    options: StreamOptions,
  ): Promise<LedgerStream> {
    const { perSecond, size = 100, flows = 4, atMostMs = 60_000 } = options;
    const receiver = to.start(this.program, ["receive", String(port)]);
    await receiver.line(/^listening$/);
    const words = ["send", address, port, flows, perSecond, size, atMostMs].map(String);
    return new LedgerStream(from.start(this.program, words), receiver);
  }
}

export class LedgerStream {
  constructor(
    readonly sender: Program,
    private readonly receiver: Program,
  ) {}

  /** Ends the sender, waits until all has arrived or nothing has for `restMs`, and tells what became of it. */
  async stop(restMs = 500): Promise<StreamAccount> {
    this.sender.write("stop");
    const { code } = await this.sender.exited;
    const [line] = this.sender.stdout;
    if (code !== 0 || line === undefined) throw new Error(this.sender.describe());
    const { sent, ...sender } = JSON.parse(line) as SenderAccount;

    let last = { delivered: -1, at: 0 };
    const account = await until(
      "the end of a stream",
      async () => {
        const now = await this.report(sent);
        if (now.delivered !== last.delivered) last = { delivered: now.delivered, at: performance.now() };
        return now.delivered === now.sent || performance.now() - last.at > restMs ? now : null;
      },
      30_000,
    );
    await this.receiver.stop("SIGKILL");
    return { ...account, ...sender };
  }

  private async report(
    sent: readonly number[],
  ): Promise<Omit<StreamAccount, keyof SenderAccount> & { readonly sent: number }> {
    const answered = this.receiver.stdout.length;
    this.receiver.write(sent.join(" "));
    const line = await until("the receiver's account", () => {
      if (this.receiver.exit !== null) throw new Error(this.receiver.describe());
      return this.receiver.stdout[answered] ?? null;
    });
    return JSON.parse(line) as StreamAccount;
  }
}
