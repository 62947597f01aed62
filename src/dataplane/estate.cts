/**
 * What a daemon leaves to the next one, should it end without warning: the descriptors that the service manager keeps
 * (sd_listen_fds(3)), and in a file of the run directory what the workers were set to. From the two the next process
 * has packets flow again before it has read its settings.
 *
 * The file's first line has a version and a checksum of the rest. Whatever was cut, flipped or written by a version
 * with another layout of rows is not used: the daemon then starts as on the first day.
 */
import fs = require("node:fs");
import type { FdName, Fds } from "../native/bindings.js" with { "resolution-mode": "import" };
import load = require("../native/load.cjs");
import type { Estate, OpenSettings } from "./inheritance.js" with { "resolution-mode": "import" };

/** Whatever `FdName` has. */
const FD_NAMES: readonly FdName[] = ["tun", "underlay4", "underlay6", "journal"];

/** To be raised with every change of the rows in native/core/tables.h. */
const VERSION = 2;
const HEAD = /^weft-estate (\d+) ([0-9a-f]{16})$/;
/** sd_listen_fds(3). */
const FIRST_FD = 3;

/**
 * The descriptors that a service manager kept, by name; those without a name that weft gives are closed. Takes the
 * variables out of the environment: they are for this process.
 */
function inheritedFds(env: NodeJS.ProcessEnv): Fds {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = "" } = env;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) Reflect.deleteProperty(env, name);
  if (LISTEN_PID !== String(process.pid)) return {};
  const names = LISTEN_FDNAMES.split(":");
  const fds: { [name in FdName]?: number } = {};
  for (let i = 0; i < Number(LISTEN_FDS); i++) {
    const name = FD_NAMES.find((known) => known === names[i]);
    if (name === undefined || fds[name] !== undefined) fs.closeSync(FIRST_FD + i);
    else fds[name] = FIRST_FD + i;
  }
  return fds;
}

/** Writes the file; a process that ends meanwhile leaves the old one. It need not survive the machine. */
function writeEstate(runDir: string, { settings, rows }: Estate): void {
  const base64 = rows.map((bytes) => Buffer.from(bytes).toString("base64"));
  const body = Buffer.from(JSON.stringify({ settings, rows: base64 }));
  const head = Buffer.from(`weft-estate ${VERSION} ${checksum(body)}\n`);
  const temporary = `${path(runDir)}.new`;
  fs.rmSync(temporary, { force: true });
  fs.writeFileSync(temporary, Buffer.concat([head, body]), { mode: 0o600, flag: "wx" });
  fs.renameSync(temporary, path(runDir));
}

/** Reads the file; null when there is none that can be used. */
function readEstate(runDir: string): Estate | null {
  try {
    return parseEstate(fs.readFileSync(path(runDir)));
  } catch {
    return null;
  }
}

/** The file's content; null unless it is what `writeEstate` wrote. */
function parseEstate(content: Buffer): Estate | null {
  const end = content.indexOf("\n");
  const [, version, sum] = HEAD.exec(content.toString("latin1", 0, Math.max(0, end))) ?? [];
  const body = content.subarray(end + 1);
  if (version !== String(VERSION) || sum !== checksum(body)) return null;
  const { settings, rows } = JSON.parse(body.toString()) as { settings: OpenSettings; rows: string[] };
  const [self = "", peers = "", routes = ""] = rows;
  const bytes = (text: string): Uint8Array => Buffer.from(text, "base64");
  return { settings, rows: [bytes(self), bytes(peers), bytes(routes)] };
}

function path(runDir: string): string {
  return `${runDir}/estate`;
}

/** Of the addon, because loading node:crypto takes longer than everything else that is done with the file. */
function checksum(body: Uint8Array): string {
  return load.loadNative().checksum(body).toString(16).padStart(16, "0");
}

export = { FD_NAMES, inheritedFds, parseEstate, readEstate, writeEstate };
