/**
 * `subnet.env`: how this node tells its subnet and MTU to whatever sets up pods (the CNI plugin, a container runtime),
 * and to its own next start. flannel's file, byte for byte.
 *
 * A reader sees the old file or the new one, never a part, also after a power cut: temporary file → fsync → rename →
 * fsync of the directory.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Cidr, addressAt, cidr, contains, isNetwork, network, parseCidr } from "../net/cidr.js";
import type { Family } from "../net/ip.js";

/** A family's part of the file. */
export interface SubnetPair {
  /** The overlay's network. */
  readonly network: Cidr;
  /** This node's subnet; in the file with the network address + 1 as its address (the pods' gateway). */
  readonly subnet: Cidr;
}

export interface SubnetEnv {
  readonly ipv4: SubnetPair | null;
  readonly ipv6: SubnetPair | null;
  /** The TUN's MTU, for pods' interfaces. */
  readonly mtu: number;
  readonly ipMasq: boolean;
}

/** Far more than the six lines need; a larger file is not one of ours. */
const MAX_BYTES = 4096;

/** The file's text. */
export function formatSubnetEnv(env: SubnetEnv): string {
  const lines = [
    ...(env.ipv4 === null ? [] : formatPair("", env.ipv4)),
    ...(env.ipv6 === null ? [] : formatPair("IPV6_", env.ipv6)),
    `FLANNEL_MTU=${env.mtu}`,
    `FLANNEL_IPMASQ=${env.ipMasq}`,
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** Reads the file's text; null when a line is missing, doubled, cut or not what the others say. Unknown lines are ignored. */
export function parseSubnetEnv(text: string): SubnetEnv | null {
  const values = new Map<string, string>();
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const [, name, value] = /^([A-Z0-9_]+)=(\S*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined || values.has(name)) return null;
    values.set(name, value);
  }
  const ipv4 = parsePair(values, "", 4);
  const ipv6 = parsePair(values, "IPV6_", 6);
  const mtu = values.get("FLANNEL_MTU") ?? "";
  const ipMasq = values.get("FLANNEL_IPMASQ") ?? "";
  if (ipv4 === "wrong" || ipv6 === "wrong" || (ipv4 === null && ipv6 === null)) return null;
  if (!/^[1-9]\d{1,4}$/.test(mtu) || !/^(true|false)$/.test(ipMasq)) return null;
  return { ipv4, ipv6, mtu: Number(mtu), ipMasq: ipMasq === "true" };
}

/** Reads a previous file; null when there is none, or none that can be believed. */
export function readSubnetEnv(path: string): SubnetEnv | null {
  try {
    // O_NONBLOCK: should the path be a pipe, do not wait for its other end.
    return withFile(path, constants.O_RDONLY | constants.O_NONBLOCK, (fd) => {
      const stat = fstatSync(fd);
      return stat.isFile() && stat.size <= MAX_BYTES ? parseSubnetEnv(readFileSync(fd, "utf8")) : null;
    });
  } catch {
    return null;
  }
}

/**
 * Writes the file, and its directory when there is none. Throws Node's error, unless the old file, which is still in
 * place then, says the same.
 */
export function writeSubnetEnv(path: string, env: SubnetEnv): void {
  const text = formatSubnetEnv(env);
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.tmp`);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    // Removed first, so that no link left under that name is written through.
    rmSync(temporary, { force: true });
    withFile(temporary, "wx", (fd) => {
      fchmodSync(fd, 0o644);
      writeFileSync(fd, text);
      fsyncSync(fd);
    });
    renameSync(temporary, path);
    withFile(directory, "r", fsyncSync);
  } catch (error) {
    discard(temporary);
    const old = readSubnetEnv(path);
    if (old === null || formatSubnetEnv(old) !== text) throw error;
  }
}

/** Where nothing can be written, nothing can be removed either. */
function discard(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It is not in the way: the next one removes it first.
  }
}

function withFile<T>(path: string, flags: string | number, use: (fd: number) => T): T {
  const fd = openSync(path, flags, 0o644);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function formatPair(infix: string, pair: SubnetPair): string[] {
  const gateway = addressAt(pair.subnet, 1n);
  if (gateway === null) throw new RangeError(`${pair.subnet.text} has no room for a gateway`);
  return [
    `FLANNEL_${infix}NETWORK=${network(pair.network).text}`,
    `FLANNEL_${infix}SUBNET=${cidr(gateway, pair.subnet.length).text}`,
  ];
}

function parsePair(
  values: ReadonlyMap<string, string>,
  infix: string,
  family: Family,
): SubnetPair | null | "wrong" {
  const [networkText, subnetText] = [
    values.get(`FLANNEL_${infix}NETWORK`),
    values.get(`FLANNEL_${infix}SUBNET`),
  ];
  if (networkText === undefined && subnetText === undefined) return null;
  const [outer, subnet] = [parseCidr(networkText ?? ""), parseCidr(subnetText ?? "")];
  const fits = outer?.ip.family === family && subnet !== null && isNetwork(outer) && contains(outer, subnet);
  return fits ? { network: outer, subnet } : "wrong";
}
