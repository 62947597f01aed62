/**
 * A TCP proxy in front of a server that can do what networks do: end connections, swallow everything silently in one
 * or both directions, delay, and let through only so much. What is set applies to open and to new connections alike.
 *
 *     client ── up ──► proxy ──► server
 *            ◄─ down ─       ◄──
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { Transform, type TransformCallback } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { OnCleanup } from "./process.js";

export type Direction = "up" | "down";

export class TcpProxy {
  readonly #server = createServer((client) => this.#accept(client));
  readonly #sockets = new Set<Socket>();
  readonly #lost = new Set<Direction>();
  #target: URL;
  #cut = false;
  #delayMs = 0;
  #bytesPerSecond = Infinity;

  private constructor(target: string) {
    this.#target = new URL(target);
  }

  /** Listens on a free port of loopback and forwards to `target`, `http://host:port`. */
  static async start(onCleanup: OnCleanup, target: string): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    await once(proxy.#server.listen(0, "127.0.0.1"), "listening");
    onCleanup(() => {
      proxy.cut();
      proxy.#server.close();
    });
    return proxy;
  }

  /** With the target's scheme: TLS goes through untouched. */
  get endpoint(): string {
    const address = this.#server.address();
    return `${this.#target.protocol}//127.0.0.1:${typeof address === "object" ? (address?.port ?? 0) : 0}`;
  }

  /** Ends all connections and every new one. */
  cut(): void {
    this.#cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Keeps connections and takes new ones, and loses everything sent in these directions: a black hole, or half of one. */
  mute(...directions: Direction[]): void {
    for (const direction of directions.length === 0 ? (["up", "down"] as const) : directions) {
      this.#lost.add(direction);
    }
  }

  /** Loses everything on the connections that are open now, as a firewall that forgot them does. New ones work. */
  forget(): void {
    for (const socket of this.#sockets) socket.unpipe();
  }

  /** Delivers everything this much later, in both directions. */
  delay(milliseconds: number): void {
    this.#delayMs = milliseconds;
  }

  /** Lets no more through, per connection and direction. */
  throttle(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** All is well again: for new connections, to another target if one is given. The old ones are ended. */
  heal(target: string = this.#target.href): void {
    this.cut();
    this.#target = new URL(target);
    this.#cut = false;
    this.#lost.clear();
    this.#delayMs = 0;
    this.#bytesPerSecond = Infinity;
  }

  #accept(client: Socket): void {
    this.#hold(client);
    if (this.#cut) {
      client.destroy();
      return;
    }
    const server = connect(Number(this.#target.port), this.#target.hostname);
    this.#hold(server);
    client.pipe(this.#wire("up")).pipe(server);
    server.pipe(this.#wire("down")).pipe(client);
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroy());
  }

  #wire(direction: Direction): Transform {
    const lost = (): boolean => this.#lost.has(direction);
    const spentMs = (chunk: Buffer): number => (chunk.length / this.#bytesPerSecond) * 1000;
    const delayMs = (): number => this.#delayMs;
    /** When the wire takes the next bytes. */
    let free = 0;
    let delivered = Promise.resolve();
    return new Transform({
      transform(chunk: Buffer, _encoding, done: TransformCallback) {
        free = Math.max(free, performance.now()) + spentMs(chunk);
        const arrival = free + delayMs();
        delivered = delivered
          .then(() => time(arrival))
          .then(() => {
            if (!lost()) this.push(chunk);
          });
        void time(free).then(() => done());
      },
      flush(done: TransformCallback) {
        void delivered.then(() => done());
      },
    });
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
  }
}

/** Resolves when `performance.now()` has come to `end`. */
async function time(end: number): Promise<void> {
  const milliseconds = end - performance.now();
  if (milliseconds > 0) await delay(milliseconds, undefined, { ref: false });
}
