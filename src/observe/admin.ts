/**
 * The admin socket: HTTP and JSON over `<run-dir>/weft.sock`, for `weft` on the same machine. Only the daemon's user
 * may connect (mode 0600). The daemon holds the run directory's lock, so a socket file found there is nobody's.
 */
import { rmSync } from "node:fs";
import { ConfigError, EXIT_USAGE, WeftError } from "../config/errors.js";
import { adminSocket, LOG_LEVELS, type LogLevel } from "../config/options.js";
import { closer, type HealthSource, healthRoutes, httpServer, listen, plain } from "./http.js";
import type { Answer, ByteStream, Reply, Routes, RunningServer } from "./http.js";
import { captureRequest, type CaptureRequest, traceRequest, type TraceRequest } from "../config/requests.js";
import type { RouteStatus, TraceStatus } from "./status.js";

/** What the daemon answers with. */
export interface AdminSource extends HealthSource {
  routes(): readonly RouteStatus[];
  setLogLevel(level: LogLevel): void;
  /** Gives this node's subnet back and ends the daemon. Resolves with a sentence, rejects with a WeftError. */
  leave(): Promise<string>;
  readonly inspector: InspectorSource;
  readonly succession: SuccessionSource;
}

export interface HandoverRequest {
  readonly version: number;
  /** Path of a unix socket that receives datagrams: the successor's. */
  readonly socket: string;
}

/** What hands over to the next daemon, step by step (src/handover.ts). Throws WeftErrors for what cannot be done. */
export interface SuccessionSource {
  offer(request: HandoverRequest): object;
  /** Its reader has the packets until it goes away. */
  pause(request: HandoverRequest): ByteStream;
  end(): void;
}

/** What shows packets. Throws WeftErrors for what cannot be done at the moment. */
export interface InspectorSource {
  /** Starts the one capture that there can be. */
  capture(request: CaptureRequest): ByteStream;
  /** Ends the capture; false when none runs. */
  endCapture(): boolean;
  trace(request: TraceRequest): TraceStatus;
}

/** Serves the admin socket in an existing, locked run directory; closing removes it. Rejects with a WeftError. */
export async function startAdmin(runDir: string, source: AdminSource): Promise<RunningServer> {
  const path = adminSocket(runDir);
  rmSync(path, { force: true });
  const server = httpServer(adminRoutes(source));
  // The socket file gets its mode when it is bound, which `listen` does before it returns.
  const umask = process.umask(0o177);
  const listening = listen(server, { path }, (code) => `cannot create the admin socket ${path} (${code})`);
  process.umask(umask);
  await listening;
  return closer(server);
}

function adminRoutes(source: AdminSource): Routes {
  return {
    ...healthRoutes(source),
    "GET /status": () => json(source.status()),
    "GET /peers": () => json(source.peers()),
    "GET /routes": () => json(source.routes()),
    "GET /counters": () => json(source.counters()),
    "PUT /log-level": (body) => {
      const level = levelIn(body);
      if (level === null) return plain(400, `expected {"level":"…"} with one of ${LOG_LEVELS.join(", ")}`);
      source.setLogLevel(level);
      return json({ level });
    },
    "PUT /handover": (body) => refusing(() => json(source.succession.offer(handoverRequest(body)))),
    "PUT /handover/pause": (body) =>
      refusing(() => ({
        status: 200,
        type: "application/octet-stream",
        stream: source.succession.pause(handoverRequest(body)),
      })),
    "PUT /handover/end": () =>
      refusing(() => {
        source.succession.end();
        return json({});
      }),
    "PUT /leave": () => refusing(async () => json({ message: await source.leave() })),
    "GET /capture": (_body, query) =>
      refusing(() => {
        const reasons = source.counters().filter(({ kind }) => kind === "drop");
        const request = captureRequest(
          query,
          reasons.map(({ name }) => name),
        );
        return { status: 200, type: "application/x-pcapng", stream: source.inspector.capture(request) };
      }),
    "DELETE /capture": () => json({ ended: source.inspector.endCapture() }),
    "GET /trace": (_body, query) => refusing(() => json(source.inspector.trace(traceRequest(query)))),
  };
}

/** What cannot be done becomes an answer that says why. */
async function refusing(act: () => Answer | Promise<Answer>): Promise<Answer> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof WeftError)) throw error;
    return plain(error.exitCode === EXIT_USAGE ? 400 : 409, error.message);
  }
}

function levelIn(body: string): LogLevel | null {
  try {
    const { level } = JSON.parse(body) as { level?: unknown };
    return LOG_LEVELS.find((known) => known === level) ?? null;
  } catch {
    return null;
  }
}

function handoverRequest(body: string): HandoverRequest {
  try {
    const { version, socket } = JSON.parse(body) as Record<string, unknown>;
    if (typeof version === "number" && typeof socket === "string") return { version, socket };
  } catch {
    // No JSON.
  }
  throw new ConfigError('expected {"version":…,"socket":"…"}');
}

function json(value: unknown): Reply {
  return { status: 200, type: "application/json", body: `${JSON.stringify(value)}\n` };
}
