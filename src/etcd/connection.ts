/**
 * One gRPC connection to one etcd endpoint: opening it, a call, a stream, a login, and what its errors mean.
 * `client.ts` decides which endpoint and how often.
 */
import { readFileSync } from "node:fs";
import * as grpc from "@grpc/grpc-js";
import { ConfigError } from "../config/errors.js";
import type { EtcdOptions } from "../config/options.js";
import { type Method, methodDefinition, type Methods } from "./messages.js";

const CONNECT_MS = 2000;
export const CALL_MS = 5000;

const CHANNEL_OPTIONS: grpc.ClientOptions = {
  // etcd refuses pings more often than every 5 s, and any without an open stream.
  "grpc.keepalive_time_ms": 6000,
  "grpc.keepalive_timeout_ms": 3000,
  "grpc.keepalive_permit_without_calls": 0,
  // Every connection starts afresh, without the backoff of an abandoned one to the same endpoint.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
  // A listing of 10 000 leases is larger than gRPC's default of 4 MiB.
  "grpc.max_receive_message_length": -1,
};

/** etcd said no or did not answer: worth another try later, as opposed to a WeftError. */
export class EtcdError extends Error {
  override readonly name = "EtcdError";
  constructor(
    readonly code: grpc.status,
    readonly details: string,
    endpoint: string,
  ) {
    super(`etcd at ${endpoint}: ${details}`);
  }
}

export interface Connection {
  readonly endpoint: string;
  readonly client: grpc.Client;
}

/** Reads the TLS files; throws a ConfigError when they cannot be used. */
export function tlsCredentials({ caFile, keyFile, certFile }: EtcdOptions): grpc.ChannelCredentials {
  const read = (file: string | null): Buffer | null => (file === null ? null : readFileSync(file));
  try {
    return grpc.credentials.createSsl(read(caFile), read(keyFile), read(certFile));
  } catch (error) {
    throw new ConfigError(`etcd's TLS files cannot be used: ${(error as Error).message}`);
  }
}

/** Opens a connection to `endpoint`, `http://host:port` or https; `settled` tells how it went. */
export function connect(endpoint: string, tls: grpc.ChannelCredentials): Connection {
  const { hostname, port, protocol } = new URL(endpoint);
  const secure = protocol === "https:";
  // The URL leaves its scheme's default port out, gRPC would take 443 for either.
  const target = `${hostname}:${port || (secure ? 443 : 80)}`;
  const credentials = secure ? tls : grpc.credentials.createInsecure();
  return { endpoint, client: new grpc.Client(target, credentials, CHANNEL_OPTIONS) };
}

/** Waits until the connection stands or is refused (which the next call on it reports, with the cause). */
export async function settled({ client, endpoint }: Connection): Promise<void> {
  const channel = client.getChannel();
  const deadline = Date.now() + CONNECT_MS;
  for (;;) {
    const state = channel.getConnectivityState(true);
    if (state !== grpc.connectivityState.IDLE && state !== grpc.connectivityState.CONNECTING) return;
    await new Promise<void>((resolve, reject) => {
      channel.watchConnectivityState(state, deadline, (error) => {
        if (error === undefined) resolve();
        else reject(new EtcdError(grpc.status.UNAVAILABLE, "no connection within 2 s", endpoint));
      });
    });
  }
}

/** One request, one response, within 5 s. */
export function unary<M extends Method>(
  connection: Connection,
  method: M,
  request: Methods[M][0],
  metadata: grpc.Metadata,
): Promise<Methods[M][1]> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  return new Promise((resolve, reject) => {
    connection.client.makeUnaryRequest<Methods[M][0], Methods[M][1]>(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      { deadline: Date.now() + CALL_MS },
      (error, response) => {
        if (error !== null) reject(asEtcdError(error, connection));
        else resolve(response as Methods[M][1]);
      },
    );
  });
}

/** Opens a stream that nothing is sent on yet; it fails after `limitMs` if that is not null. */
export function bidi<M extends Method>(
  { client }: Connection,
  method: M,
  metadata: grpc.Metadata,
  limitMs: number | null,
): grpc.ClientDuplexStream<Methods[M][0], Methods[M][1]> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  const options = limitMs === null ? {} : { deadline: Date.now() + limitMs };
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, options);
  // Cancelling is reported as an error, possibly when nobody reads any more.
  stream.on("error", () => undefined);
  return stream;
}

/** Logs in; null when the cluster asks for no login. */
export async function login(connection: Connection, name: string, password: string): Promise<string | null> {
  try {
    return (await unary(connection, "Auth.Authenticate", { name, password }, new grpc.Metadata())).token;
  } catch (error) {
    // A cluster without authentication needs no token; a password given for it does no harm.
    if (error instanceof EtcdError && error.details.includes("authentication is not enabled")) return null;
    throw error;
  }
}

/** gRPC's errors as EtcdErrors; anything else is a bug and is thrown on. */
export function asEtcdError(error: unknown, { endpoint }: Connection): EtcdError {
  if (error instanceof EtcdError) return error;
  const { code, details } = error as Partial<grpc.ServiceError>;
  if (code === undefined || details === undefined) throw error;
  // Of gRPC's "No connection established. Last error: Error: <cause>. Resolution note: " only the cause.
  const cause = /Last error: (?:Error: )?(.*?)\.? Resolution note:/.exec(details)?.[1];
  return new EtcdError(code, cause ?? details, endpoint);
}

/** True for errors that speak against the connection. */
export function isUnreachable(error: unknown): boolean {
  if (!(error instanceof EtcdError)) return false;
  return error.code === grpc.status.UNAVAILABLE || error.code === grpc.status.DEADLINE_EXCEEDED;
}

/** True for errors that a new login may mend. */
export function isStaleToken(error: unknown): boolean {
  if (!(error instanceof EtcdError)) return false;
  // The last: authentication was enabled after the login.
  return /invalid auth token|revision of auth store is old|user name is empty/.test(error.details);
}
