/**
 * Small HTTP servers over tables of routes, and the public one: /healthz, /readyz, /metrics for --healthz-port. The
 * admin socket serves the same routes and its own. Answers are computed at once, from what the daemon already knows.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { WeftError } from "../config/errors.js";
import type { Ip } from "../net/ip.js";
import { metricsText } from "./metrics.js";
import type { CounterStatus, PeerStatus, Status } from "./status.js";

export interface Reply {
  readonly status: number;
  readonly type:
    "text/plain; charset=utf-8" | "text/plain; version=0.0.4; charset=utf-8" | "application/json";
  readonly body: string;
}

/** An answer that goes on for a while. */
export interface StreamReply {
  readonly status: 200;
  readonly type: "application/x-pcapng" | "application/octet-stream";
  readonly stream: ByteStream;
}

export interface ByteStream {
  /** To be read once, to its end. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** HTTP trailers: what is known at the end. Their names are the same from the beginning. */
  trailers(): Readonly<Record<string, string>>;
  /** Called once: the reader has it all, or went away. */
  close(): void;
}

/** Keys are `<method> <path>`. */
export type Routes = Readonly<
  Record<string, (body: string, query: URLSearchParams) => Answer | Promise<Answer>>
>;
export type Answer = Reply | StreamReply;

/** What the public routes are answered from. */
export interface HealthSource {
  status(): Status;
  peers(): readonly PeerStatus[];
  counters(): readonly CounterStatus[];
}

export interface RunningServer {
  /** Listens no more; what has been asked is still answered. */
  release(): void;
  /** Ends the server and its connections. */
  close(): Promise<void>;
}

/** No request that is meant for us is larger. */
const MAX_BODY = 4096;

/** Serves the public routes on an address. Rejects with a WeftError when it cannot listen there. */
export async function startHealthServer(ip: Ip, port: number, source: HealthSource): Promise<RunningServer> {
  const server = httpServer(healthRoutes(source));
  await listen(server, { host: ip.text, port }, (code) =>
    code === "EADDRINUSE"
      ? `--healthz-port: port ${port} of ${ip.text} is in use; choose another`
      : `--healthz-ip: cannot listen on ${ip.text}, port ${port} (${code}); choose an address of this host`,
  );
  return closer(server);
}

/**
 * /healthz: is the process worth keeping; 503 only when failed. /readyz: can packets flow; 503 also while starting.
 * Both name the state and the reasons, one per line.
 */
export function healthRoutes(source: HealthSource): Routes {
  const health = (...unavailable: string[]): Reply => {
    const { state, reasons } = source.status().health;
    return plain(unavailable.includes(state) ? 503 : 200, [state, ...reasons].join("\n"));
  };
  return {
    "GET /healthz": () => health("failed"),
    "GET /readyz": () => health("failed", "starting"),
    "GET /metrics": () => ({
      status: 200,
      type: "text/plain; version=0.0.4; charset=utf-8",
      body: metricsText(source.status(), source.counters(), source.peers()),
    }),
  };
}

export function plain(status: number, body: string): Reply {
  return { status, type: "text/plain; charset=utf-8", body: `${body}\n` };
}

/** A server over a table of routes, not listening yet. Slow and idle clients are cut off. */
export function httpServer(routes: Routes): Server {
  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000, keepAliveTimeout: 5000 });
  server.maxConnections = 64;
  server.on("request", (request, response) => {
    answer(routes, request).then(
      (reply) => ("stream" in reply ? sendStream(response, reply) : send(response, reply)),
      (error: unknown) => send(response, plain(500, `internal error: ${String(error)}`)),
    );
  });
  return server;
}

/** Starts listening; rejects with a WeftError that says what `describe` makes of the error's code. */
export function listen(
  server: Server,
  at: { readonly host: string; readonly port: number } | { readonly path: string },
  describe: (code: string) => string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.on("error", (error: NodeJS.ErrnoException) => {
      reject(new WeftError(describe(error.code ?? error.message), undefined, { cause: error }));
    });
    server.listen(at, resolve);
  });
}

export function closer(server: Server): RunningServer {
  return {
    release: () => void server.close(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(routes: Routes, request: IncomingMessage): Promise<Answer> {
  const method = request.method === "HEAD" ? "GET" : (request.method ?? "");
  const [path = "", query] = (request.url ?? "").split(/\?(.*)/s);
  const route = Object.hasOwn(routes, `${method} ${path}`) ? routes[`${method} ${path}`] : undefined;
  if (route === undefined) {
    const known = Object.keys(routes);
    const otherMethod = known.some((key) => key.endsWith(` ${path}`));
    return plain(otherMethod ? 405 : 404, `there are:\n${known.join("\n")}`);
  }
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY || "transfer-encoding" in request.headers) {
    return plain(413, `a request has at most ${MAX_BODY} bytes, and says how many`);
  }
  return route(await text(request), new URLSearchParams(query));
}

function send(response: ServerResponse, { status, type, body }: Reply): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) }).end(body);
}

/** Sends no faster than the client reads, and ends the stream when the client goes away. */
async function sendStream(response: ServerResponse, { status, type, stream }: StreamReply): Promise<void> {
  response.on("close", () => stream.close());
  response.writeHead(status, { "content-type": type, trailer: Object.keys(stream.trailers()).join(", ") });
  try {
    await pipeline(stream.chunks, response, { end: false });
    response.addTrailers(stream.trailers());
    response.end();
  } catch {
    // The client went away: there is nobody left to tell.
    response.destroy();
  }
}
