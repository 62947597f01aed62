/**
 * What a daemon leaves to the next one, should it end without warning: the descriptors that the service manager keeps
 * (sd_listen_fds(3)), and in a file of the run directory what the workers were set to. From the two the next process
 * has packets flow again before it has read its settings.
 *
 * The file's first line has a version and a checksum of the rest. Whatever was cut, flipped or written by a version
 * with another layout of rows is not used: the daemon then starts as on the first day.
 */
import { createHash } from "node:crypto";
import { closeSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FD_NAMES, type FdName, type Fds, type OpenOptions } from "../native/bindings.js";
import type { Rows } from "./engine.js";

/** How the dataplane was opened, without what was adopted then. */
export type OpenSettings = Omit<OpenOptions, "adopt">;

export interface Estate {
  readonly settings: OpenSettings;
  readonly rows: Rows;
}

/** To be raised with every change of the rows in native/core/tables.h. */
const VERSION = 1;
const HEAD = /^weft-estate (\d+) ([0-9a-f]{64})\n/;
/** sd_listen_fds(3). */
const FIRST_FD = 3;

/**
 * The descriptors that a service manager kept, by name; those without a name that weft gives are closed. Takes the
 * variables out of the environment: they are for this process.
 */
export function inheritedFds(env: NodeJS.ProcessEnv): Fds {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = "" } = env;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) Reflect.deleteProperty(env, name);
  if (LISTEN_PID !== String(process.pid)) return {};
  const names = LISTEN_FDNAMES.split(":");
  const fds: { [name in FdName]?: number } = {};
  for (let i = 0; i < Number(LISTEN_FDS); i++) {
    const name = FD_NAMES.find((known) => known === names[i]);
    if (name === undefined || fds[name] !== undefined) closeSync(FIRST_FD + i);
    else fds[name] = FIRST_FD + i;
  }
  return fds;
}

/** Writes the file; a process that ends meanwhile leaves the old one. It need not survive the machine. */
export function writeEstate(runDir: string, { settings, rows }: Estate): void {
  const body = JSON.stringify({ settings, rows: rows.map((bytes) => Buffer.from(bytes).toString("base64")) });
  const temporary = `${path(runDir)}.new`;
  rmSync(temporary, { force: true });
  writeFileSync(temporary, `weft-estate ${VERSION} ${digest(body)}\n${body}`, { mode: 0o600, flag: "wx" });
  renameSync(temporary, path(runDir));
}

/** Reads the file; null when there is none that can be used. */
export function readEstate(runDir: string): Estate | null {
  try {
    return parseEstate(readFileSync(path(runDir), "utf8"));
  } catch {
    return null;
  }
}

/** The file's content; null unless it is what `writeEstate` wrote. */
export function parseEstate(text: string): Estate | null {
  const [head = "", version, checksum] = HEAD.exec(text) ?? [];
  const body = text.slice(head.length);
  if (version !== String(VERSION) || checksum !== digest(body)) return null;
  const { settings, rows } = JSON.parse(body) as { settings: OpenSettings; rows: string[] };
  const [self = "", peers = "", routes = ""] = rows;
  const bytes = (text: string): Uint8Array => Buffer.from(text, "base64");
  return { settings, rows: [bytes(self), bytes(peers), bytes(routes)] };
}

function path(runDir: string): string {
  return join(runDir, "estate");
}

function digest(body: string): string {
  return createHash("sha256").update(body).digest("hex");
}
