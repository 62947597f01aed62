/**
 * The registry over a peers file: no etcd needed.
 *
 * The file is read at start, when something changes in its directory, and on `reload()`. What was read last without
 * error is in force: an invalid file changes nothing and is reported. While the daemon runs only the peers follow the
 * file; a new network, backend or own entry is reported as needing a restart.
 */
import { type FSWatcher, readFileSync, watch } from "node:fs";
import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { ConfigError, WeftError } from "../config/errors.js";
import type { NetworkConfig } from "../config/network-config.js";
import type { FileOptions } from "../config/options.js";
import type { Lease, Rejection } from "../lease/lease.js";
import type { LeaseRequest, Registry, RegistryStatus, Snapshot } from "../lease/registry.js";
import { overlaps } from "../net/cidr.js";
import { parsePeersFile, type PeersFile, type PeersNode } from "./peers-file.js";

/** An editor saves in several steps; a file cut short between two of them may look like a valid one. */
const SAVING_MS = 100;

export class FileRegistry implements Registry {
  readonly #path: string;
  readonly #log: Logger;
  /** The text that was looked at last; null when it could not be read. */
  #text: string | null = null;
  #inForce: PeersFile | null = null;
  #own: PeersNode | null = null;
  #onSnapshot: ((snapshot: Snapshot) => void) | null = null;
  #watcher: FSWatcher | null = null;
  #saving: NodeJS.Timeout | null = null;
  #valid = false;
  #problem: string | null = null;
  #loads = 0;
  #loadedAt = 0;

  constructor(options: FileOptions, log: Logger) {
    this.#path = options.path;
    this.#log = log.child({ component: "registry", path: options.path });
  }

  async networkConfig(signal: AbortSignal): Promise<NetworkConfig> {
    signal.throwIfAborted();
    const text = this.#read();
    const file = parsePeersFile(text, this.#path);
    this.#text = text;
    this.#noteLoad(file);
    return Promise.resolve(file.config);
  }

  async acquire(request: LeaseRequest, signal: AbortSignal): Promise<Lease> {
    signal.throwIfAborted();
    this.#own = findOwn(this.#file(), request, this.#path);
    return Promise.resolve(this.#own.lease);
  }

  async watch(onSnapshot: (snapshot: Snapshot) => void, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#onSnapshot = onSnapshot;
    // The directory, because most editors replace the file.
    this.#watcher = watch(dirname(this.#path), () => {
      this.#saving ??= setTimeout(() => {
        this.#saving = null;
        this.reload();
      }, SAVING_MS);
    });
    this.#watcher.on("error", (err) => this.#log.warn({ err }, "changes of the peers file go unnoticed"));
    onSnapshot(this.#snapshot());
    this.reload();
    return Promise.resolve();
  }

  /** Looks at the file again, now. Errors are reported, not thrown. */
  reload(): void {
    try {
      const text = this.#read();
      if (text === this.#text) return;
      this.#text = text;
      this.#apply(parsePeersFile(text, this.#path));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#valid = false;
      this.#report(`${error.message}; what was read before stays in force`);
    }
  }

  status(): RegistryStatus {
    return {
      kind: "file",
      source: this.#path,
      connected: this.#valid,
      problem: this.#problem,
      failed: false,
      lastContactSeconds: this.#loads === 0 ? null : (performance.now() - this.#loadedAt) / 1000,
      revision: this.#loads,
      leaseTtlSeconds: null,
      restores: 0,
      certificateSeconds: null,
    };
  }

  leave(): Promise<string> {
    return Promise.reject(
      new WeftError(`a peers file gives no leases: take this node out of ${this.#path} on every host`),
    );
  }

  async close(): Promise<void> {
    this.#watcher?.close();
    if (this.#saving !== null) clearTimeout(this.#saving);
    return Promise.resolve();
  }

  #read(): string {
    try {
      return readFileSync(this.#path, "utf8");
    } catch (error) {
      this.#text = null;
      throw new ConfigError(`the peers file cannot be read: ${(error as Error).message}`);
    }
  }

  #file(): PeersFile {
    if (this.#inForce === null) throw new Error("networkConfig comes first");
    return this.#inForce;
  }

  #apply(file: PeersFile): void {
    const own = this.#own;
    if (!isDeepStrictEqual(file.config, this.#file().config)) {
      this.#valid = true;
      this.#report("network or backend changed in the peers file; restart weftd to apply it");
      return;
    }
    this.#noteLoad(file);
    const sameOwn = file.nodes.some((node) => isDeepStrictEqual(node, own));
    this.#report(sameOwn ? null : "this node's entry in the peers file changed; restart weftd to apply it");
    this.#onSnapshot?.(this.#snapshot());
  }

  #noteLoad(file: PeersFile): void {
    this.#inForce = file;
    this.#valid = true;
    this.#loads++;
    this.#loadedAt = performance.now();
  }

  #report(problem: string | null): void {
    if (problem !== null && problem !== this.#problem) this.#log.warn(problem);
    if (problem === null) this.#log.info({ revision: this.#loads }, "peers file read");
    this.#problem = problem;
  }

  /** All nodes but this one; what contradicts the running one's own entry is rejected. */
  #snapshot(): Snapshot {
    const own = this.#own;
    if (own === null) throw new Error("acquire comes before watch");
    const peers: Lease[] = [];
    const rejected: Rejection[] = [];
    for (const { address, lease } of this.#file().nodes) {
      if (lease.key === own.lease.key || address.text === own.address.text) continue;
      if (sharesSubnets(lease, own.lease)) {
        rejected.push({
          key: lease.key,
          reason: "overlap",
          message: "it has a subnet that this node still holds",
        });
      } else {
        peers.push(lease);
      }
    }
    return { config: this.#file().config, peers, rejected, held: 0, stale: false };
  }
}

function sharesSubnets(a: Lease, b: Lease): boolean {
  return a.subnets.some((left) => b.subnets.some((right) => overlaps(left.prefix, right.prefix)));
}

/** The node that `self` names, else the one with this host's address. */
function findOwn(file: PeersFile, { publicIp, publicIpv6 }: LeaseRequest, path: string): PeersNode {
  const addresses = [publicIp, publicIpv6].filter((ip) => ip !== null).map((ip) => ip.text);
  const found = file.nodes.find((node) =>
    file.self === null ? addresses.includes(node.address.text) : node.lease.key === file.self,
  );
  if (found !== undefined) return found;
  throw new ConfigError(
    `${path}: no node has this host's address ${addresses.join(" or ") || "(it has none)"}; ` +
      `the file has ${file.nodes.map((node) => node.address.text).join(", ") || "no nodes"}. ` +
      "Correct the file, name the host's address with --public-ip, or name its node with self:",
  );
}
