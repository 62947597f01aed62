/**
 * A capture as the daemon serves it: what the workers recorded, fetched every few milliseconds, becomes the blocks of a
 * pcapng file with the verdict on each packet as its comment, and ends at the bounds that were asked for. Datagrams
 * get the outer headers that they have on the wire, as far as weft knows them, so that Wireshark takes them apart.
 */
import { setTimeout as delay } from "node:timers/promises";
import { VERSION } from "./config/version.js";
import { CAPTURE_STEPS, type Capture, type CaptureRecord } from "./dataplane/capture.js";
import type { SelfRow } from "./fib/compile.js";
import { ipFromBytes } from "./net/ip.js";
import { PROTOCOL, checksum, ipHeader, pseudoHeader, udpHeader } from "./net/packet.js";
import type { ByteStream } from "./observe/http.js";
import { type CapturePacket, fileHeader, filePacket, fileStatistics } from "./observe/pcapng.js";
import type { CaptureRequest } from "./config/requests.js";

const POLL_MS = 20;
/** How long a stop waits for a client that does not read. */
const CLOSE_MS = 1000;

/** What the records do not say. */
export interface CaptureContext {
  /** Names of the interfaces. */
  readonly tun: string;
  readonly underlay: string;
  /** Has this host's underlay addresses and the tunnel's port. */
  readonly self: SelfRow;
  /** Sentences by drop reason. */
  readonly sentences: ReadonlyMap<string, string>;
}

export class CaptureStream implements ByteStream {
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly #capture: Capture;
  readonly #request: CaptureRequest;
  readonly #context: CaptureContext;
  readonly #timer: NodeJS.Timeout;
  /** Fires when the capture has ended. */
  readonly #end = new AbortController();
  readonly #closed: Promise<void>;
  /** Not the reader's any more. */
  readonly close: () => void;
  /** Blocks that nobody has taken yet. */
  #blocks: Uint8Array[] = [];
  /** By step: in the file, and lost. */
  readonly #captured = CAPTURE_STEPS.map(() => 0);
  #lost: readonly number[] = CAPTURE_STEPS.map(() => 0);

  constructor(capture: Capture, request: CaptureRequest, context: CaptureContext) {
    this.#capture = capture;
    this.#request = request;
    this.#context = context;
    this.#timer = setTimeout(() => this.end(), request.seconds * 1000);
    let closed = (): void => undefined;
    this.#closed = new Promise((resolve) => {
      closed = resolve;
    });
    this.close = () => {
      this.end();
      closed();
    };
    this.chunks = this.#file();
  }

  get ended(): boolean {
    return this.#end.signal.aborted;
  }

  trailers(): Record<string, string> {
    return { "weft-captured": `${sum(this.#captured)}`, "weft-lost": `${sum(this.#lost)}` };
  }

  /** Takes what is still there and stops the workers' recording at once; the file's end is for its reader to fetch. */
  end(): void {
    if (this.ended) return;
    this.#end.abort();
    clearTimeout(this.#timer);
    this.#collect();
    this.#lost = this.#capture.stop();
  }

  /** Waits, not for long, until the reader has it all. */
  async finished(): Promise<void> {
    await Promise.race([this.#closed, delay(CLOSE_MS, undefined, { ref: false })]);
  }

  async *#file(): AsyncGenerator<Uint8Array> {
    const { tun, underlay } = this.#context;
    yield fileHeader(`weft ${VERSION}`, interfaces(tun, underlay));
    while (!this.ended) {
      this.#collect();
      if (this.#full) this.end();
      else if (this.#blocks.length > 0) yield this.#take();
      // Rejects when the end comes meanwhile.
      else await delay(POLL_MS, undefined, { signal: this.#end.signal }).catch(() => undefined);
    }
    const now = BigInt(Date.now()) * 1_000_000n;
    const statistics = CAPTURE_STEPS.map((_, i) => {
      const [captured = 0, dropped = 0] = [this.#captured[i], this.#lost[i]];
      return fileStatistics(i, now, { received: captured + dropped, dropped });
    });
    yield Buffer.concat([this.#take(), ...statistics]);
  }

  #take(): Uint8Array {
    const blocks = Buffer.concat(this.#blocks);
    this.#blocks = [];
    return blocks;
  }

  get #full(): boolean {
    return sum(this.#captured) === this.#request.packets;
  }

  #collect(): void {
    for (const record of this.#capture.read()) {
      if (this.#full) return;
      const number = CAPTURE_STEPS.indexOf(record.step);
      this.#captured[number] = (this.#captured[number] ?? 0) + 1;
      this.#blocks.push(filePacket(describe(record, number, this.#context)));
    }
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** In the order of CAPTURE_STEPS. "in" and "out" are weft's. */
function interfaces(tun: string, underlay: string): Parameters<typeof fileHeader>[1] {
  return [
    { name: `${tun} in`, description: "packets that this host sends to others, as read from the TUN" },
    { name: `${underlay} out`, description: "datagrams sent to peers, with outer headers added here" },
    { name: `${underlay} in`, description: "datagrams received, with outer headers added here" },
    { name: `${tun} out`, description: "packets written to the TUN, coalesced, and ICMP errors" },
  ];
}

function describe(record: CaptureRecord, number: number, context: CaptureContext): CapturePacket {
  const { step, timeNs, length } = record;
  const headers = step === "underlay-in" || step === "underlay-out" ? outerHeaders(record, context) : [];
  const bytes = Buffer.concat([...headers, record.bytes]);
  return {
    interface: number,
    timeNs,
    direction: step === "tun-in" || step === "underlay-in" ? "in" : "out",
    bytes,
    length: length + bytes.length - record.bytes.length,
    comment: comment(record, context.sentences),
  };
}

/**
 * Addresses, ports and TOS are those on the wire; identification and TTL are not known here. The UDP checksum is left
 * out where that is allowed (RFC 768), and where what it covers has been cut.
 */
function outerHeaders(
  { step, peer, tos, port: sourcePort, bytes, length }: CaptureRecord,
  { self: { port, source4, source6 } }: CaptureContext,
): Uint8Array[] {
  const family = peer?.family ?? 4;
  const unknown = ipFromBytes(new Uint8Array(family === 4 ? 4 : 16));
  const here = (family === 4 ? source4 : source6) ?? unknown;
  const there = peer ?? unknown;
  const [source, destination] = step === "underlay-in" ? [there, here] : [here, there];
  const fields = { source, destination, protocol: PROTOCOL.udp, tos };
  const udp = udpHeader(sourcePort, port, length);
  if (family === 6 && bytes.length === length) {
    const sum = checksum(pseudoHeader(fields, udp.length + length), udp, bytes);
    new DataView(udp.buffer).setUint16(6, sum || 0xffff);
  }
  return [ipHeader(fields, udp.length + length), udp];
}

function comment(record: CaptureRecord, sentences: ReadonlyMap<string, string>): string {
  const { mss, partial, reason } = record;
  const dropped = reason === null ? null : `dropped: ${reason} – ${sentences.get(reason) ?? ""}`;
  return [
    record.reply ? `tells the sender of a packet that was ${dropped ?? ""}` : (dropped ?? fate(record)),
    ...(mss > 0 ? [`super-packet of segments with ${mss} bytes of payload`] : []),
    ...(partial ? ["checksum not completed yet"] : []),
  ].join("; ");
}

function fate({ step, peer, parts, consumed }: CaptureRecord): string {
  const address = peer?.text ?? "an unknown address";
  switch (step) {
    case "tun-in":
      return `forwarded to ${address} as ${parts} datagram${parts === 1 ? "" : "s"}`;
    case "underlay-out":
      return `sent to ${address}`;
    case "underlay-in":
      return consumed ? "answered: it asks for a MAC address" : `accepted from ${address}`;
    case "tun-out":
      return parts === 1 ? "delivered" : `delivered: ${parts} packets coalesced`;
  }
}
