/**
 * An etcd v3 client: unary calls and streams over several endpoints, TLS, password.
 *
 * There is one connection at a time. A call or stream that finds its endpoint dead, mute, slow or without a leader
 * abandons the connection with everything on it, and the next try opens one to the next endpoint. While there are
 * others to try, an endpoint has 1.5 s; when all were slow, etcd gets the time it needs, up to 5 s. Unary calls try
 * every endpoint once before they fail; repeating beyond that is the caller's, with `retry` or a loop of its own. A
 * black-holed connection is found by HTTP/2 pings while a stream is open.
 *
 * Troubles of the connection and refused requests are kept apart, each under a stable reason, until an answer ends
 * them: the log gets one line when one begins, and one when etcd answers again.
 */
import * as grpc from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { EtcdOptions } from "../config/options.js";
import { Backoff } from "./backoff.js";
import {
  abandon,
  asEtcdError,
  bidi,
  CALL_MS,
  connect,
  type Connection,
  EtcdError,
  type EtcdTrouble,
  isStaleToken,
  isTooLarge,
  isUnreachable,
  login,
  requireLeader,
  settled,
  unary,
} from "./connection.js";
import type { Method, Methods } from "./messages.js";
import { TlsFiles } from "./tls.js";

/** What an endpoint gets while there are others to try: a failover takes less than 2 s. */
const HASTY_MS = 1500;
const EXPIRY_CHECK_MS = 3_600_000;

export class EtcdClient {
  readonly #options: EtcdOptions;
  readonly #log: Logger;
  readonly #tls: TlsFiles;
  readonly #expiryCheck: NodeJS.Timeout;
  #endpointIndex = 0;
  /** Connections abandoned since the last answer. */
  #misses = 0;
  #connection: Connection | null = null;
  #token: Promise<string | null> | null = null;
  #closed = false;
  #answers = false;
  /** Why etcd does not answer: the first sentence of each reason, whatever the endpoint. Empty while it answers. */
  readonly #outage = new Map<EtcdTrouble, string>();
  /** What etcd answers with a refusal. */
  readonly #refusals = new Map<Method, EtcdError>();
  #lastContact: number | null = null;

  /** Reads the TLS files; throws a ConfigError when they cannot be used. Connects with the first call. */
  constructor(options: EtcdOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
    this.#tls = new TlsFiles(options, log);
    this.#tls.warnOfExpiry();
    this.#expiryCheck = setInterval(() => this.#tls.warnOfExpiry(), EXPIRY_CHECK_MS).unref();
  }

  /** The endpoint in use or next to be tried. */
  get endpoint(): string {
    const { endpoints } = this.#options;
    return endpoints[this.#endpointIndex % endpoints.length] ?? "";
  }

  /** True from an answer until the next failure. */
  get connected(): boolean {
    return this.#answers;
  }

  /** Why etcd does not answer, or what it refuses; null when all is well. Does not change from try to try. */
  get problem(): string | null {
    const refusals = [...this.#refusals.values()].map(({ message }) => message);
    const expired = (this.certificateSeconds ?? 1) <= 0 ? ["a certificate for etcd has expired"] : [];
    const tls = this.#tls.problem === null ? [] : [this.#tls.problem];
    return [...new Set([...this.#outage.values(), ...refusals, ...tls, ...expired])].join("; ") || null;
  }

  /** Seconds until the first certificate of the TLS files ends; null without them. */
  get certificateSeconds(): number | null {
    return this.#tls.expirySeconds();
  }

  /** `performance.now()` of the last answer or of the end of a connection; null before the first. */
  get lastContact(): number | null {
    return this.#lastContact;
  }

  /** One request, one response, within 5 s per endpoint. Rejects with an EtcdError. */
  async call<M extends Method>(method: M, request: Methods[M][0]): Promise<Methods[M][1]> {
    const failures: unknown[] = [];
    for (let left = this.#options.endpoints.length; ; left--) {
      const connection = this.#connect();
      const limitMs = this.#patience();
      try {
        await settled(connection, limitMs);
        const response = await this.#authorized(connection, (metadata) =>
          unary(connection, method, request, metadata, limitMs),
        );
        this.#noteAnswer(method, connection);
        return response;
      } catch (error) {
        this.#leave(connection, error);
        failures.push(error);
        if (left > 1 && isUnreachable(error)) continue;
        for (const each of failures) this.#noteFailure(method, each);
        throw error;
      }
    }
  }

  /**
   * Sends `request` on a new stream and yields what comes back. Ends only by an error (an EtcdError, or the signal's
   * reason) or when the consumer leaves its loop, which cancels the stream. After `limitMs` it fails; null = never.
   */
  async *stream<M extends Method>(
    method: M,
    request: Methods[M][0],
    signal: AbortSignal,
    limitMs: number | null,
  ): AsyncGenerator<Methods[M][1], never> {
    const connection = this.#connect();
    const { signal: abandoned } = connection.abandoned;
    let cancel = (): void => undefined;
    try {
      await settled(connection, this.#patience());
      const stream = await this.#authorized(connection, (metadata) =>
        Promise.resolve(bidi(connection, method, metadata, limitMs)),
      );
      cancel = () => stream.cancel();
      for (const end of [signal, abandoned]) end.addEventListener("abort", cancel, { once: true });
      signal.throwIfAborted();
      stream.write(request);
      for await (const message of stream) {
        yield message as Methods[M][1];
        this.#noteAnswer(method, connection);
      }
      throw new EtcdError(grpc.status.UNAVAILABLE, "the stream was closed", connection.endpoint);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = asEtcdError(thrown, connection);
      if (isStaleToken(error)) this.#token = null;
      // Who abandoned the connection has noted why.
      if (!abandoned.aborted) {
        this.#leave(connection, error);
        this.#noteFailure(method, error);
      }
      throw error;
    } finally {
      for (const end of [signal, abandoned]) end.removeEventListener("abort", cancel);
      cancel();
    }
  }

  /**
   * Notes that a message of a watch was a refusal, and returns the error to throw. A stale token shows itself only
   * so, as "permission denied", hence the next call logs in again.
   */
  refusal(details: string): EtcdError {
    this.#token = null;
    const error = new EtcdError(grpc.status.PERMISSION_DENIED, details, this.endpoint);
    this.#noteFailure("Watch.Watch", error);
    return error;
  }

  /** Abandons the connection although nothing failed on it: after a suspend the other end may have forgotten it. */
  reconnect(): void {
    if (this.#connection !== null) abandon(this.#connection);
    this.#connection = null;
  }

  /** Fails what is under way and every later call. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#expiryCheck);
    this.reconnect();
  }

  /** How long to wait for the endpoint at hand. */
  #patience(): number {
    return this.#misses < this.#options.endpoints.length - 1 ? HASTY_MS : CALL_MS;
  }

  #connect(): Connection {
    const endpoint = this.endpoint;
    if (this.#closed) throw new EtcdError(grpc.status.CANCELLED, "the client is closed", endpoint);
    this.#connection ??= connect(endpoint, () => this.#tls.credentials());
    return this.#connection;
  }

  /** Runs `task` with the token of a login, if there is one; twice when the token turns out to be stale. */
  async #authorized<T>(connection: Connection, task: (metadata: grpc.Metadata) => Promise<T>): Promise<T> {
    const { username, password } = this.#options;
    if (username === null) return task(requireLeader());
    for (let again = true; ; again = false) {
      this.#token ??= login(connection, username, password ?? "");
      try {
        const metadata = requireLeader();
        const token = await this.#token;
        if (token !== null) metadata.set("token", token);
        return await task(metadata);
      } catch (error) {
        this.#token = null;
        if (!again || !isStaleToken(error)) throw error;
      }
    }
  }

  #noteContact(endpoint: string): void {
    this.#lastContact = performance.now();
    this.#misses = 0;
    if (!this.#answers) this.#log.info({ endpoint }, "etcd answers");
    this.#answers = true;
    this.#outage.clear();
  }

  #noteAnswer(method: Method, { endpoint }: Connection): void {
    this.#noteContact(endpoint);
    if (this.#refusals.delete(method)) this.#log.info({ endpoint }, "etcd grants what it refused");
  }

  #noteFailure(method: Method, error: unknown): void {
    if (this.#closed || !(error instanceof EtcdError) || isAnswer(error)) return;
    const { reason } = error;
    if (isUnreachable(error) || reason === "login") {
      if (this.#answers) this.#lastContact = performance.now();
      this.#answers = false;
      if (this.#outage.has(reason)) return;
      this.#outage.set(reason, error.message);
      this.#log.warn({ err: error, reason }, "etcd does not answer");
    } else {
      this.#noteContact(this.endpoint);
      if (this.#refusals.get(method)?.reason === reason) return;
      this.#refusals.set(method, error);
      this.#log.warn({ err: error, reason }, "etcd refuses a request");
    }
  }

  /** After an error that speaks against the connection, the next one goes to the next endpoint. */
  #leave(connection: Connection, error: unknown): void {
    if (this.#connection !== connection || !isUnreachable(error)) return;
    abandon(connection);
    this.#connection = null;
    this.#endpointIndex++;
    this.#misses++;
  }
}

/**
 * True for errors that answer the question: no such lease, or granted by a try before; a revision gone or yet to come;
 * more than was meant.
 */
export function isAnswer(error: EtcdError): boolean {
  const { code, details } = error;
  const { NOT_FOUND, OUT_OF_RANGE } = grpc.status;
  const isKnown = code === NOT_FOUND || code === OUT_OF_RANGE || isTooLarge(error);
  return isKnown || details.includes("lease already exists");
}

/** Repeats `task` with backoff until it does something other than fail with an EtcdError. */
export async function retry<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const backoff = new Backoff();
  for (;;) {
    signal.throwIfAborted();
    try {
      return await task();
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
    }
    await backoff.wait(signal);
  }
}
