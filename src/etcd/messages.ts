/**
 * etcd's v3 messages as JavaScript sees them, and the methods that carry them: the typed face of `proto/etcd.proto`,
 * which is loaded at run time. 64-bit integers are decimal strings (lease ids use all 64 bits), bytes are Buffers.
 */
import { fileURLToPath } from "node:url";
import type { MethodDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export interface ResponseHeader {
  readonly cluster_id: string;
  readonly revision: string;
}

export interface KeyValue {
  readonly key: Buffer;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly value: Buffer;
  /** "0" when no etcd lease is attached. */
  readonly lease: string;
}

/**
 * The keys from `key` up to `range_end`; the one key when that is null. It is never empty: etcd takes an empty one that
 * is sent for "no end" when it reads, and for "the one key" when it writes or watches.
 */
export interface KeyRange {
  readonly key: Buffer;
  readonly range_end: Buffer | null;
}

/** What stands in a range, or stood there at a revision. */
export interface RangeRequest extends KeyRange {
  /** "0" for now. */
  readonly revision?: string;
  /** Of how many keys at most, the first ones; "0" for all. */
  readonly limit?: string;
  readonly count_only?: boolean;
}

export interface RangeResponse {
  readonly header: ResponseHeader;
  readonly kvs: readonly KeyValue[];
  /** The limit left keys out. */
  readonly more: boolean;
  /** How many keys stand in the range. */
  readonly count: string;
}

export interface PutRequest {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease: string;
}

type RequestOp = { readonly request_range: RangeRequest } | { readonly request_put: PutRequest };

export type Compare =
  | (KeyRange & { readonly target: "CREATE"; readonly create_revision: string })
  | (KeyRange & { readonly target: "MOD"; readonly mod_revision: string });

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export interface TxnResponse {
  readonly header: ResponseHeader;
  readonly succeeded: boolean;
  readonly responses: readonly { readonly response_range: RangeResponse | null }[];
}

export interface WatchRequest {
  readonly create_request: KeyRange & { readonly start_revision: string; readonly fragment: boolean };
}

export interface WatchResponse {
  readonly header: ResponseHeader;
  readonly created: boolean;
  readonly canceled: boolean;
  /** Not "0" when the watch asked for revisions that were compacted away. */
  readonly compact_revision: string;
  readonly cancel_reason: string;
  /** More of the same revision follows. */
  readonly fragment: boolean;
  readonly events: readonly { readonly type: "PUT" | "DELETE"; readonly kv: KeyValue }[];
}

interface LeaseRequest {
  readonly ID: string;
}

interface LeaseResponse {
  readonly header: ResponseHeader;
  readonly ID: string;
  /** Seconds; "0" or less when the lease is gone. */
  readonly TTL: string;
}

/** Request and response of every method, by `Service.Method`. */
export interface Methods {
  "KV.Range": [RangeRequest, RangeResponse];
  "KV.Txn": [TxnRequest, TxnResponse];
  "Watch.Watch": [WatchRequest, WatchResponse];
  "Lease.LeaseGrant": [LeaseRequest & { readonly TTL: string }, LeaseResponse];
  "Lease.LeaseRevoke": [LeaseRequest, { readonly header: ResponseHeader }];
  "Lease.LeaseKeepAlive": [LeaseRequest, LeaseResponse];
  "Auth.Authenticate": [
    { readonly name: string; readonly password: string },
    { readonly header: ResponseHeader; readonly token: string },
  ];
}
export type Method = keyof Methods;

// From dist/src/etcd in a checkout and in an installed package alike.
const PROTO = fileURLToPath(new URL("../../../src/etcd/proto/etcd.proto", import.meta.url));
const services = loadSync(PROTO, { keepCase: true, longs: String, enums: String, defaults: true });

/** Path and (de)serializers of a method. */
export function methodDefinition<M extends Method>(
  method: M,
): MethodDefinition<Methods[M][0], Methods[M][1]> {
  const [service = "", name = ""] = method.split(".");
  const definition = (services[`etcdserverpb.${service}`] as Record<string, unknown>)[name];
  return definition as MethodDefinition<Methods[M][0], Methods[M][1]>;
}

/**
 * Keys are byte strings: everywhere in this directory they are text with one character for each byte (latin1), so that
 * no two of them are taken for one, whatever others have written.
 */
export function keyBytes(key: string): Buffer {
  return Buffer.from(key, "latin1");
}

export function keyText(bytes: Buffer): string {
  return bytes.toString("latin1");
}

/** All keys that begin with `prefix`. */
export function prefixRange(prefix: string): KeyRange {
  const end = keyBytes(prefix);
  // Prefixes here end in "/" or a digit, so the last byte can always be counted up.
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
  return { key: keyBytes(prefix), range_end: end };
}

export function singleKey(key: string): KeyRange {
  return { key: keyBytes(key), range_end: null };
}
