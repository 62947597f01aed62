/**
 * The TLS files for etcd: read anew for every connection, so that a renewed certificate or another CA needs no
 * restart. Files that cannot be used (half written, key and certificate of different pairs) are reported, and those
 * read last stay in use. The end of the certificates is told 30, 7 and 1 days before, once each.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import * as grpc from "@grpc/grpc-js";
import type { Logger } from "pino";
import { ConfigError } from "../config/errors.js";
import type { EtcdOptions } from "../config/options.js";

const DAY_S = 86_400;
const WARN_DAYS = [1, 7, 30];

interface Loaded {
  readonly contents: readonly (Buffer | null)[];
  readonly credentials: grpc.ChannelCredentials;
}

export class TlsFiles {
  readonly #options: EtcdOptions;
  readonly #log: Logger;
  #loaded: Loaded;
  #problem: string | null = null;
  /** What was told of each file: its end and the least number of days before it. */
  readonly #told = new Map<string, string>();

  /** Reads the files; throws a ConfigError when they cannot be used. */
  constructor(options: EtcdOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
    this.#loaded = this.#load(null);
  }

  /** Why the files on disk are not the ones in use; null when they are. */
  get problem(): string | null {
    return this.#problem;
  }

  /** For the next connection, from the files as they are now. */
  credentials(): grpc.ChannelCredentials {
    try {
      this.#loaded = this.#load(this.#loaded);
      if (this.#problem !== null) this.#log.info("etcd's TLS files can be used again");
      this.#problem = null;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      if (this.#problem === null) this.#log.warn({ err: error }, "those read before stay in use");
      this.#problem = error.message;
    }
    return this.#loaded.credentials;
  }

  /**
   * Seconds until the first of the certificates in use ends, negative afterwards; null without files. The one place
   * where the wall clock counts: certificates know no other, and nothing but warnings depends on it.
   */
  expirySeconds(): number | null {
    const ends = this.#ends().map(({ seconds }) => seconds);
    return ends.length === 0 ? null : Math.min(...ends);
  }

  /** Logs what ends soon, once per certificate and threshold. */
  warnOfExpiry(): void {
    for (const { path, validTo, seconds } of this.#ends()) {
      const days = seconds <= 0 ? 0 : WARN_DAYS.find((limit) => seconds <= limit * DAY_S);
      const news = `${validTo} ${days ?? ""}`;
      if (days === undefined || this.#told.get(path) === news) continue;
      this.#told.set(path, news);
      const about = { path, reason: "expiry" };
      if (days === 0) this.#log.error(about, "a certificate for etcd has expired");
      else
        this.#log.warn(
          about,
          `a certificate for etcd ends in less than ${days} ${days === 1 ? "day" : "days"}`,
        );
    }
  }

  /** Of the client's certificates its own, the first, counts; of several CAs the one that lasts longest. */
  #ends(): { path: string; validTo: string; seconds: number }[] {
    const [ca = null, , cert = null] = this.#loaded.contents;
    const { caFile, certFile } = this.#options;
    return [
      ...(caFile === null || ca === null ? [] : [{ path: caFile, ...latest(certificatesIn(ca)) }]),
      ...(certFile === null || cert === null
        ? []
        : [{ path: certFile, ...latest(certificatesIn(cert).slice(0, 1)) }]),
    ];
  }

  /** The files as they are now; `known` when they have not changed. */
  #load(known: Loaded | null): Loaded {
    const { caFile, keyFile, certFile, endpoints } = this.#options;
    try {
      const contents = [caFile, keyFile, certFile].map((file) => (file === null ? null : readFileSync(file)));
      if (
        known !== null &&
        contents.every((content, index) => same(content, known.contents[index] ?? null))
      ) {
        return known;
      }
      const [ca = null, key = null, cert = null] = contents;
      if (ca !== null && certificatesIn(ca).length === 0)
        throw new Error(`no certificate in ${caFile ?? ""}`);
      // Making a TLS context takes 25 ms of the start: only where one is used.
      const { createSsl, createInsecure } = grpc.credentials;
      const isUsed = endpoints.some((endpoint) => endpoint.startsWith("https:"));
      return { contents, credentials: isUsed ? createSsl(ca, key, cert) : createInsecure() };
    } catch (error) {
      throw new ConfigError(`etcd's TLS files cannot be used: ${(error as Error).message}`);
    }
  }
}

function same(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b);
}

function certificatesIn(pem: Buffer): X509Certificate[] {
  const blocks = pem.toString().match(/-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

function latest(certificates: readonly X509Certificate[]): { validTo: string; seconds: number } {
  const ends = certificates.map(({ validTo }) => ({
    validTo,
    seconds: (Date.parse(validTo) - Date.now()) / 1000,
  }));
  return ends.reduce((a, b) => (b.seconds > a.seconds ? b : a), { validTo: "", seconds: -Infinity });
}
