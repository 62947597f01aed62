/**
 * What a node remembers of the registry, as one file: the network config, its own lease and its peers' as they stood in
 * etcd, so that they are read and judged exactly like what etcd says. The file's first line has a checksum of the rest:
 * whatever was cut, flipped or written by another version is no memory.
 */
import { createHash } from "node:crypto";
import * as v from "valibot";

const LEASE = v.strictObject({ key: v.string(), value: v.string() });
const MEMORY = v.strictObject({
  /** Whose memory it is: the prefix in etcd, and the cluster's endpoints. */
  prefix: v.string(),
  endpoints: v.array(v.string()),
  /** The network config's JSON. */
  config: v.string(),
  own: LEASE,
  /** Oldest first. */
  peers: v.array(LEASE),
});
export type Memory = v.InferOutput<typeof MEMORY>;

/** Of a lease: the key's last part and the JSON value. */
export type RememberedLease = v.InferOutput<typeof LEASE>;

const HEAD = /^weft-memory 1 ([0-9a-f]{64})\n/;
const HEAD_BYTES = "weft-memory 1 \n".length + 64;

/** The file's content, and what tells it from another. */
export function formatMemory(memory: Memory): { readonly digest: string; readonly text: string } {
  const body = `${JSON.stringify(memory)}\n`;
  const digest = digestOf(Buffer.from(body));
  return { digest, text: `weft-memory 1 ${digest}\n${body}` };
}

/** Reads the file's content; null unless it is, byte for byte, what `formatMemory` wrote. */
export function parseMemory(content: Uint8Array): Memory | null {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const [, checksum] = HEAD.exec(bytes.toString("latin1", 0, HEAD_BYTES)) ?? [];
  const body = bytes.subarray(HEAD_BYTES);
  if (checksum === undefined || checksum !== digestOf(body)) return null;
  try {
    return v.parse(MEMORY, JSON.parse(body.toString()));
  } catch {
    return null;
  }
}

function digestOf(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("hex");
}
