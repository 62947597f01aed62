/**
 * The first thing that a process of weftd does: has packets flow again that wait since the last one ended, from what it
 * left (`dataplane/estate.ts`). Settings, registry and log come later; this file therefore needs little besides the
 * addon.
 *
 * A process that keeps dying must not take the machine with it: who finds that several before it did not last waits
 * first, longer every time. The descriptors are the service manager's meanwhile.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";
import { Dataplane } from "./dataplane/engine.js";
import { inheritedFds, type OpenSettings, readEstate } from "./dataplane/estate.js";
import type { Fds } from "./native/bindings.js";
import { loadNative } from "./native/load.js";

/** What is there before the daemon is. */
export interface Inheritance {
  readonly fds: Fds;
  /** A dataplane that runs, and how it was opened; null: none. */
  readonly resumed: { readonly dataplane: Dataplane; readonly settings: OpenSettings } | null;
}

export const NOTHING: Inheritance = { fds: {}, resumed: null };

/** Short lives in a row that cost no wait, and the waits after that. */
const FORGIVEN = 3;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;
/** Older than this, in seconds, the note is of other times. */
const NOTE_LASTS = 60;

/** Never throws: what cannot be resumed is started. Blocks for the wait. */
export function resume(env: NodeJS.ProcessEnv): Inheritance {
  // The unit names the directory; without a service manager, nobody keeps anything.
  const runDir = env["WEFT_RUN_DIR"];
  if (runDir === undefined || env["NOTIFY_SOCKET"] === undefined) return NOTHING;
  const wait = noteStart(runDir);
  if (wait > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, wait);
  const fds = inheritedFds(env);
  const estate = fds.tun === undefined ? null : readEstate(runDir);
  if (estate === null) return { fds, resumed: null };
  try {
    const dataplane = new Dataplane(loadNative(), { ...estate.settings, adopt: fds });
    dataplane.replaceRows(estate.rows);
    dataplane.start();
    return { fds, resumed: { dataplane, settings: estate.settings } };
  } catch {
    // The daemon opens the same soon, and then says what is wrong.
    return { fds, resumed: null };
  }
}

/** Notes that a process has begun; returns how many milliseconds it should wait for those before it. */
export function noteStart(runDir: string, now: number = uptime()): number {
  const note = readNote(runDir);
  const count = note !== null && now - note.at < NOTE_LASTS ? note.count + 1 : 0;
  try {
    writeFileSync(notePath(runDir), JSON.stringify({ count, at: now }), { mode: 0o600 });
  } catch {
    // No directory yet, or no space: then there is no memory of short lives either.
  }
  return count < FORGIVEN ? 0 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (count - FORGIVEN));
}

/** This process has lasted, or ends in good order. */
export function noteLasting(runDir: string): void {
  rmSync(notePath(runDir), { force: true });
}

function readNote(runDir: string): { readonly count: number; readonly at: number } | null {
  try {
    const { count, at } = JSON.parse(readFileSync(notePath(runDir), "utf8")) as Record<string, unknown>;
    return typeof count === "number" && typeof at === "number" ? { count, at } : null;
  } catch {
    return null;
  }
}

function notePath(runDir: string): string {
  return join(runDir, "starts");
}
