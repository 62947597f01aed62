/**
 * An etcd v3 client: unary calls and streams over several endpoints, TLS, password.
 *
 * There is one connection at a time. A call or stream that finds its endpoint dead, mute or without a leader abandons
 * the connection, and the next try opens one to the next endpoint. Unary calls try every endpoint once before they
 * fail; repeating beyond that is the caller's, with `retry` or a loop of its own. A black-holed connection is found
 * by HTTP/2 pings while a stream is open. The log gets one line when etcd stops answering and one when it answers.
 */
import * as grpc from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { EtcdOptions } from "../config/options.js";
import { Backoff } from "./backoff.js";
import {
  asEtcdError,
  bidi,
  connect,
  type Connection,
  EtcdError,
  isStaleToken,
  isUnreachable,
  login,
  settled,
  tlsCredentials,
  unary,
} from "./connection.js";
import type { Method, Methods } from "./messages.js";

export class EtcdClient {
  readonly #options: EtcdOptions;
  readonly #log: Logger;
  readonly #tls: grpc.ChannelCredentials;
  #endpointIndex = 0;
  #connection: Connection | null = null;
  #token: Promise<string | null> | null = null;
  #closed = false;
  #answers = false;
  #problem: string | null = null;
  #lastContact: number | null = null;

  /** Reads the TLS files; throws a ConfigError when they cannot be used. Connects with the first call. */
  constructor(options: EtcdOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
    this.#tls = tlsCredentials(options);
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

  /** Why etcd does not answer; null while it does. */
  get problem(): string | null {
    return this.#problem;
  }

  /** `performance.now()` of the last answer or of the end of a connection; null before the first. */
  get lastContact(): number | null {
    return this.#lastContact;
  }

  /** One request, one response, within 5 s per endpoint. Rejects with an EtcdError. */
  async call<M extends Method>(method: M, request: Methods[M][0]): Promise<Methods[M][1]> {
    for (let left = this.#options.endpoints.length; ; left--) {
      const connection = this.#connect();
      try {
        await settled(connection);
        const response = await this.#authorized(connection, (metadata) =>
          unary(connection, method, request, metadata),
        );
        this.#noteAnswer(connection);
        return response;
      } catch (error) {
        this.#leave(connection, error);
        if (left > 1 && isUnreachable(error)) continue;
        this.#noteFailure(error);
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
    let cancel = (): void => undefined;
    try {
      await settled(connection);
      const stream = await this.#authorized(connection, (metadata) => {
        // A member that lost its leader ends the stream instead of going silent.
        metadata.set("hasleader", "true");
        return Promise.resolve(bidi(connection, method, metadata, limitMs));
      });
      cancel = () => stream.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      signal.throwIfAborted();
      stream.write(request);
      for await (const message of stream) {
        yield message as Methods[M][1];
        this.#noteAnswer(connection);
      }
      throw new EtcdError(grpc.status.UNAVAILABLE, "the stream was closed", connection.endpoint);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = asEtcdError(thrown, connection);
      if (isStaleToken(error)) this.#token = null;
      this.#leave(connection, error);
      this.#noteFailure(error);
      throw error;
    } finally {
      signal.removeEventListener("abort", cancel);
      cancel();
    }
  }

  /**
   * Notes that a message of a stream was a refusal, and returns the error to throw. A stale token shows itself only
   * so, as "permission denied", hence the next call logs in again.
   */
  refusal(details: string): EtcdError {
    this.#token = null;
    const error = new EtcdError(grpc.status.PERMISSION_DENIED, details, this.endpoint);
    this.#noteFailure(error);
    return error;
  }

  /** Fails what is under way and every later call. */
  close(): void {
    this.#closed = true;
    this.#connection?.client.close();
    this.#connection = null;
  }

  #connect(): Connection {
    const endpoint = this.endpoint;
    if (this.#closed) throw new EtcdError(grpc.status.CANCELLED, "the client is closed", endpoint);
    this.#connection ??= connect(endpoint, this.#tls);
    return this.#connection;
  }

  /** Runs `task` with the token of a login, if there is one; twice when the token turns out to be stale. */
  async #authorized<T>(connection: Connection, task: (metadata: grpc.Metadata) => Promise<T>): Promise<T> {
    const { username, password } = this.#options;
    if (username === null) return task(new grpc.Metadata());
    for (let again = true; ; again = false) {
      this.#token ??= login(connection, username, password ?? "");
      try {
        const metadata = new grpc.Metadata();
        const token = await this.#token;
        if (token !== null) metadata.set("token", token);
        return await task(metadata);
      } catch (error) {
        this.#token = null;
        if (!again || !isStaleToken(error)) throw error;
      }
    }
  }

  #noteAnswer(connection: Connection): void {
    this.#lastContact = performance.now();
    if (this.#answers) return;
    this.#answers = true;
    this.#problem = null;
    this.#log.info({ endpoint: connection.endpoint }, "etcd answers");
  }

  #noteFailure(error: unknown): void {
    if (this.#closed || (error instanceof EtcdError && error.code === grpc.status.NOT_FOUND)) return;
    if (this.#problem === null) this.#log.warn({ err: error }, "etcd does not answer");
    if (this.#answers) this.#lastContact = performance.now();
    this.#answers = false;
    this.#problem = (error as Error).message;
  }

  /** After an error that speaks against the connection, the next one goes to the next endpoint. */
  #leave(connection: Connection, error: unknown): void {
    if (this.#connection !== connection || !isUnreachable(error)) return;
    connection.client.close();
    this.#connection = null;
    this.#endpointIndex++;
  }
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
