/**
 * The types of settings: how a text becomes a value, and what is said when it does not. Used by the table in `flags.ts`
 * and by `requests.ts`. Empty texts are no path, name or address; whether a setting may be empty is not judged here.
 */
import { posix, resolve } from "node:path";
import type { Offload } from "../native/bindings.js";
import { type Ip, isUnicast, parseIp } from "../net/ip.js";
import { LOG_LEVELS, type LogLevel, type PeerAlias } from "./options.js";

/** How a setting's text is read. */
export interface Type<T> {
  /** Stands for the value in `--help`; null for a switch, which may stand without a value. */
  readonly metavar: string | null;
  /** Completes the sentence `"<text>" is not …`. */
  readonly expects: string;
  /** The text is a comma-separated list; the YAML file may write it as a list. */
  readonly list?: true;
  /** Null when the text is not what is expected. */
  readonly parse: (text: string) => T | null;
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  ...Object.fromEntries(["1", "t", "T", "true", "TRUE", "True"].map((text) => [text, true])),
  ...Object.fromEntries(["0", "f", "F", "false", "FALSE", "False"].map((text) => [text, false])),
};

/** Go's strconv.ParseBool, since flannel's scripts rely on it. */
export const boolean: Type<boolean> = {
  metavar: null,
  expects: "a boolean (true, false, 1, 0, t, f)",
  parse: (text) => BOOLEANS[text] ?? null,
};

export const text = (metavar: string, expects: string, pattern = /./): Type<string> => ({
  metavar,
  expects,
  parse: (value) => (pattern.test(value) ? value : null),
});

export const path = (metavar: string): Type<string> => ({
  metavar,
  expects: "a path",
  parse: (value) => (value === "" ? null : resolve(value)),
});

export const integer = (metavar: string, min: number, max: number): Type<number> => ({
  metavar,
  expects: `a whole number between ${min} and ${max}`,
  parse: (value) => (/^\d{1,9}$/.test(value) && +value >= min && +value <= max ? +value : null),
});

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A time in one of Go's notations, `90s` or `5m`, as milliseconds; at most a day. */
export const duration: Type<number> = {
  metavar: "TIME",
  expects: "a time of at most 24h: a whole number and a unit, as in 500ms, 90s, 5m, 1h, or 0",
  parse: (value) => {
    const [, count = "", unit = ""] = /^(\d{1,9})(ms|s|m|h)$/.exec(value === "0" ? "0s" : value) ?? [];
    const milliseconds = Number(count) * (UNITS_MS[unit] ?? NaN);
    return milliseconds <= 86_400_000 ? milliseconds : null;
  },
};

export const address = (expects: string, accept: (ip: Ip) => boolean): Type<Ip> => ({
  metavar: "IP",
  expects,
  parse: (value) => {
    const ip = parseIp(value);
    return ip !== null && accept(ip) ? ip : null;
  },
});

export const peerAliases: Type<readonly PeerAlias[]> = {
  metavar: "IP=PEER,…",
  list: true,
  expects: "<address>=<public address of its peer>, such as 198.51.100.7=192.0.2.2, or several with commas",
  parse: (value) => {
    const aliases = value.split(",").map((pair) => {
      const [address, publicAddress, ...more] = pair.split("=").map((text) => parseIp(text.trim()));
      if (!address || !publicAddress || more.length > 0) return null;
      if (!isUnicast(address) || !isUnicast(publicAddress)) return null;
      return { address, publicAddress };
    });
    return aliases.every((alias) => alias !== null) ? aliases : null;
  },
};

/** The admin socket's path has to fit into `sockaddr_un` (108 bytes with the final zero). */
export const runDirectory: Type<string> = {
  metavar: "DIR",
  expects: "a path of at most 97 bytes",
  parse: (value) => {
    const directory = resolve(value);
    return value === "" || Buffer.byteLength(directory) > 97 ? null : directory;
  },
};

export const endpoints: Type<readonly string[]> = {
  metavar: "URL,…",
  list: true,
  expects: "a comma-separated list of http://host:port or https://host:port",
  parse: (value) => {
    const urls = value.split(",").map((url) => url.trim().replace(/\/$/, ""));
    return urls.every(
      (url) => /^https?:\/\/([^\s/:@[\]]+|\[[\da-f:.]+\]):\d{1,5}$/i.test(url) && URL.canParse(url),
    )
      ? urls
      : null;
  },
};

export const keyPrefix: Type<string> = {
  metavar: "KEY",
  expects: "a key prefix such as /coreos.com/network",
  parse: (value) => posix.normalize(value === "" ? "/" : value).replace(/\/$/, "") || null,
};

/** `file` is null for etcd. */
export const registry: Type<{ readonly file: string | null }> = {
  metavar: "WHERE",
  expects: "`etcd` or file:/path/peers.yaml",
  parse: (value) => {
    if (value === "etcd") return { file: null };
    return /^file:./.test(value) ? { file: resolve(value.slice("file:".length)) } : null;
  },
};

export const regex: Type<string> = {
  metavar: "REGEX",
  expects: "a regular expression",
  parse: (value) => {
    try {
      return new RegExp(value).source;
    } catch {
      return null;
    }
  },
};

export const OFFLOADS: readonly Offload[] = ["tso", "uso", "gso", "gro"];

export const offloads: Type<readonly Offload[]> = {
  metavar: "LIST",
  list: true,
  expects: `a comma-separated list of ${OFFLOADS.join(", ")}, or none`,
  parse: (value) => {
    const names = value === "none" ? [] : value.split(",");
    const known = OFFLOADS.filter((offload) => names.includes(offload));
    return known.length === names.length ? known : null;
  },
};

/** Null: as many as suit the machine. */
export const workers: Type<{ readonly count: number | null }> = {
  metavar: "N",
  expects: "1, 2 or auto",
  parse: (value) => {
    if (value === "auto") return { count: null };
    return value === "1" || value === "2" ? { count: Number(value) } : null;
  },
};

export const logLevel: Type<LogLevel> = {
  metavar: "LEVEL",
  expects: `one of ${LOG_LEVELS.join(", ")}`,
  parse: (value) => LOG_LEVELS.find((level) => level === value) ?? null,
};

export const deviceName = text(
  "NAME",
  "an interface name: at most 15 bytes, no space, slash, colon or percent sign",
  /^(?!\.{1,2}$)[!-$&-.0-9;-~]{1,15}$/,
);
