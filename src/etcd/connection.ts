/**
 * One gRPC connection to one etcd endpoint: opening it, a call, a stream, a login, and what its errors mean.
 * `client.ts` decides which endpoint and how often.
 */
import * as grpc from "@grpc/grpc-js";
import { type Method, methodDefinition, type Methods } from "./messages.js";

/** What etcd gets to answer a request. */
export const CALL_MS = 5000;

const CHANNEL_OPTIONS: grpc.ClientOptions = {
  // etcd refuses pings more often than every 5 s, and any without an open stream.
  "grpc.keepalive_time_ms": 6000,
  "grpc.keepalive_timeout_ms": 3000,
  "grpc.keepalive_permit_without_calls": 0,
  // Every connection starts afresh, without the backoff of an abandoned one to the same endpoint.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
  // A listing of 10 000 leases can be larger than gRPC's default of 4 MiB; what is larger still is read in parts.
  "grpc.max_receive_message_length": 16 * 1024 * 1024,
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

  /** Why, as a stable word. */
  get reason(): EtcdTrouble {
    if (/no leader|leader changed/.test(this.details)) return "no-leader";
    if (/certificate|altnames|SSL|TLS/.test(this.details)) return "tls";
    if (isUnreachable(this)) return "unreachable";
    if (isStaleToken(this) || /authentication failed/.test(this.details)) return "login";
    if (this.code === grpc.status.PERMISSION_DENIED) return "permission";
    return this.code === grpc.status.RESOURCE_EXHAUSTED ? "exhausted" : "refused";
  }
}

/** The first three speak of the connection, the others of the request. */
export type EtcdTrouble =
  "unreachable" | "no-leader" | "tls" | "login" | "permission" | "exhausted" | "refused";

export interface Connection {
  readonly endpoint: string;
  readonly client: grpc.Client;
  /** Fires when the connection is abandoned: its streams end with it. */
  readonly abandoned: AbortController;
}

/** Opens a connection to `endpoint`, `http://host:port` or https; `settled` tells how it went. */
export function connect(endpoint: string, tls: () => grpc.ChannelCredentials): Connection {
  const { hostname, port, protocol } = new URL(endpoint);
  const secure = protocol === "https:";
  // The URL leaves its scheme's default port out, gRPC would take 443 for either.
  const target = `${hostname}:${port || (secure ? 443 : 80)}`;
  const credentials = secure ? tls() : grpc.credentials.createInsecure();
  const client = new grpc.Client(target, credentials, CHANNEL_OPTIONS);
  return { endpoint, client, abandoned: new AbortController() };
}

/** Ends a connection with everything on it. */
export function abandon({ client, abandoned }: Connection): void {
  abandoned.abort();
  client.close();
}

/** An abandoned connection takes nothing more. Throws an EtcdError. */
function mustStand({ abandoned, endpoint }: Connection): void {
  if (!abandoned.signal.aborted) return;
  throw new EtcdError(grpc.status.UNAVAILABLE, "the connection was abandoned", endpoint);
}

/** Waits until the connection stands or is refused (which the next call on it reports, with the cause). */
export async function settled({ client, endpoint }: Connection, limitMs: number): Promise<void> {
  const channel = client.getChannel();
  const end = performance.now() + limitMs;
  for (;;) {
    const state = channel.getConnectivityState(true);
    if (state !== grpc.connectivityState.IDLE && state !== grpc.connectivityState.CONNECTING) return;
    await new Promise<void>((resolve, reject) => {
      channel.watchConnectivityState(state, fromNow(end - performance.now()), (error) => {
        if (error === undefined) resolve();
        else
          reject(
            new EtcdError(grpc.status.UNAVAILABLE, `no connection within ${limitMs / 1000} s`, endpoint),
          );
      });
    });
  }
}

/** gRPC turns the deadlines that it asks for back into durations at once, so a jump of the wall clock does no harm. */
function fromNow(milliseconds: number): number {
  return Date.now() + milliseconds;
}

/** What goes with every request: a member without a leader then says so, instead of going silent. */
export function requireLeader(): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set("hasleader", "true");
  return metadata;
}

/** One request, one response, within `limitMs`. */
export function unary<M extends Method>(
  connection: Connection,
  method: M,
  request: Methods[M][0],
  metadata: grpc.Metadata,
  limitMs: number,
): Promise<Methods[M][1]> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  return new Promise((resolve, reject) => {
    mustStand(connection);
    connection.client.makeUnaryRequest<Methods[M][0], Methods[M][1]>(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      { deadline: fromNow(limitMs) },
      (error, response) => {
        if (error !== null) reject(asEtcdError(error, connection));
        else resolve(response as Methods[M][1]);
      },
    );
  });
}

/** Opens a stream that nothing is sent on yet; it fails after `limitMs` if that is not null. */
export function bidi<M extends Method>(
  connection: Connection,
  method: M,
  metadata: grpc.Metadata,
  limitMs: number | null,
): grpc.ClientDuplexStream<Methods[M][0], Methods[M][1]> {
  mustStand(connection);
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  const options = limitMs === null ? {} : { deadline: fromNow(limitMs) };
  const stream = connection.client.makeBidiStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    metadata,
    options,
  );
  // Cancelling is reported as an error, possibly when nobody reads any more.
  stream.on("error", () => undefined);
  return stream;
}

/** Logs in; null when the cluster asks for no login. */
export async function login(connection: Connection, name: string, password: string): Promise<string | null> {
  try {
    const answer = await unary(connection, "Auth.Authenticate", { name, password }, requireLeader(), CALL_MS);
    return answer.token;
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
  // A member that waited in vain for the others says so without a code of its own (UNKNOWN).
  const timedOut = error.details === "context deadline exceeded";
  return timedOut || error.code === grpc.status.UNAVAILABLE || error.code === grpc.status.DEADLINE_EXCEEDED;
}

/** True when the answer was larger than is taken at once. */
export function isTooLarge(error: unknown): boolean {
  if (!(error instanceof EtcdError) || error.code !== grpc.status.RESOURCE_EXHAUSTED) return false;
  return error.details.startsWith("Received message larger than max");
}

/** True for errors that a new login may mend. */
export function isStaleToken(error: unknown): boolean {
  if (!(error instanceof EtcdError)) return false;
  // The last: authentication was enabled after the login.
  return /invalid auth token|revision of auth store is old|user name is empty/.test(error.details);
}
