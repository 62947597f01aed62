/** A TCP proxy between a client and a server under test: the wire that a test can cut, mute or plug elsewhere. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { OnCleanup } from "./process.js";

export class TcpProxy {
  readonly #server = createServer((client) => this.#accept(client));
  readonly #sockets = new Set<Socket>();
  #target: URL;
  #state: "open" | "cut" | "mute" = "open";

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

  get endpoint(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" ? (address?.port ?? 0) : 0}`;
  }

  /** Ends all connections and every new one. */
  cut(): void {
    this.#state = "cut";
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Keeps all connections and takes new ones, and lets nothing through any more. */
  mute(): void {
    this.#state = "mute";
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  /** Forwards new connections again, to another target if one is given. Muted ones are ended. */
  heal(target: string = this.#target.href): void {
    this.cut();
    this.#target = new URL(target);
    this.#state = "open";
  }

  #accept(client: Socket): void {
    this.#hold(client);
    if (this.#state === "cut") client.destroy();
    if (this.#state !== "open") return;
    const server = connect(Number(this.#target.port), this.#target.hostname);
    this.#hold(server);
    client.pipe(server).pipe(client);
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroy());
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
