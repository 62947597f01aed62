/**
 * The network config in etcd, followed: what is safe to change takes effect at once, the rest is reported, and nothing
 * that is invalid or gone undoes what is in force. At a start without etcd the remembered config stands in.
 */
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { changeConfig } from "../config/config-change.js";
import { type NetworkConfig, parseNetworkConfig } from "../config/network-config.js";
import type { EtcdClient } from "./client.js";
import { singleKey } from "./messages.js";
import { RangeWatch } from "./range-watch.js";

/** So long etcd has to answer before what is remembered is used instead, unless it fails earlier. */
const PATIENCE_MS = 300;
const LOOK_MS = 20;

export class ConfigWatch {
  readonly #client: EtcdClient;
  readonly #watch: RangeWatch;
  readonly #key: string;
  readonly #log: Logger;
  #inForce: NetworkConfig | null = null;
  #text = "";
  #problem: string | null = null;

  constructor(client: EtcdClient, key: string, log: Logger) {
    this.#client = client;
    this.#watch = new RangeWatch(client, singleKey(key), log);
    this.#key = key;
    this.#log = log;
  }

  /** Follows etcd until the signal fires; rejects then with its reason. */
  run(signal: AbortSignal): Promise<void> {
    return this.#watch.run(signal);
  }

  /** Null before `first`. */
  get inForce(): NetworkConfig | null {
    return this.#inForce;
  }

  /** The last valid config, as JSON: what the next start begins with. */
  get text(): string {
    return this.#text;
  }

  /** What is wrong with the config in etcd, a sentence; null when nothing is. */
  get problem(): string | null {
    return this.#problem;
  }

  /**
   * The config to start with: etcd's, or what is remembered when etcd has none that can be used and does not say more
   * in time. `onChange` is called when the config in force changes later. Rejects with a ConfigError when the config is
   * invalid and none is remembered.
   */
  async first(remembered: string | null, onChange: () => void, signal: AbortSignal): Promise<NetworkConfig> {
    const text = await this.#await(remembered, signal);
    const config = this.#parseFirst(text, remembered);
    this.#inForce = config;
    this.#watch.on("change", () => {
      if (this.#follow(config)) onChange();
    });
    this.#follow(config);
    return this.#inForce;
  }

  async #await(remembered: string | null, signal: AbortSignal): Promise<string> {
    const impatient = new AbortController();
    const deadline = performance.now() + PATIENCE_MS;
    const look = setInterval(() => {
      const late = this.#client.problem !== null || performance.now() > deadline;
      if (late && remembered !== null) impatient.abort();
    }, LOOK_MS);
    try {
      return await this.#watch.until(
        (entries) => {
          const found = entries.get(this.#key)?.value ?? null;
          this.#report(found === null ? `there is no network config at ${this.#key} yet` : null);
          return found;
        },
        AbortSignal.any([signal, impatient.signal]),
      );
    } catch (error) {
      signal.throwIfAborted();
      if (remembered === null) throw error;
      return remembered;
    } finally {
      clearInterval(look);
    }
  }

  #parseFirst(text: string, remembered: string | null): NetworkConfig {
    try {
      this.#text = text;
      return parseNetworkConfig(text);
    } catch (error) {
      if (remembered === null || remembered === text) throw error;
      this.#text = remembered;
      return parseNetworkConfig(remembered);
    }
  }

  /** Takes over what etcd says now, against what the daemon started with; true when the config in force changed. */
  #follow(started: NetworkConfig): boolean {
    if (!this.#watch.listed) return false;
    const text = this.#watch.entries.get(this.#key)?.value;
    if (text === undefined) {
      this.#report("the network config is gone from etcd; the old one stays in force");
      return false;
    }
    let next: NetworkConfig;
    try {
      next = parseNetworkConfig(text);
    } catch (error) {
      const why = (error as Error).message;
      this.#report(`the network config in etcd is invalid now, the old one stays in force: ${why}`);
      return false;
    }
    this.#text = text;
    const { config, waiting } = changeConfig(started, next);
    this.#report(
      waiting.length === 0
        ? null
        : `the network config was changed in etcd; restart weftd to apply it: ${waiting.join(", ")}`,
    );
    if (isDeepStrictEqual(config, this.#inForce)) return false;
    this.#inForce = config;
    this.#log.info({ key: this.#key }, "changed network config is in force");
    return true;
  }

  /** The log hears of a problem when it is new. */
  #report(problem: string | null): void {
    if (problem !== null && problem !== this.#problem) this.#log.warn(problem);
    this.#problem = problem;
  }
}
