/**
 * The first thing that a process of weftd does: has packets flow again that wait since the last one ended, from what it
 * left (`dataplane/estate.ts`). Settings, registry and log come later, and no package is loaded before: each would be part
 * of the pause.
 *
 * A process that keeps dying must not take the machine with it: who finds that several before it did not last waits,
 * longer every time. Its workers carry packets meanwhile, unless one before it died of that: then it waits first, and
 * the packets with it.
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
  /** Whether this process waited before it went on, because those before it did not last. */
  readonly waited: boolean;
}

export const NOTHING: Inheritance = { fds: {}, resumed: null, waited: false };

/** Short lives in a row that cost no wait, and the waits after that. */
const FORGIVEN = 3;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;
/** The wait where short lives cannot be noted. */
const UNKNOWN_WAIT_MS = 1000;
/** Older than this, in seconds, the note is of other times. */
const NOTE_LASTS = 60;

/** Never throws: what cannot be resumed is started. Blocks for the wait. */
export function resume(env: NodeJS.ProcessEnv): Inheritance {
  // The unit names the directory; without a service manager, nobody keeps anything.
  const runDir = env["WEFT_RUN_DIR"];
  if (runDir === undefined || env["NOTIFY_SOCKET"] === undefined) return NOTHING;
  // One that is to take over from a process that lives (`weft restart`): its end is no end of the service.
  if (env["MAINPID"] !== undefined) return NOTHING;
  const { waitMs, first, go } = noteStart(runDir);
  const wait = (): void => {
    if (waitMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, waitMs);
  };
  if (first) wait();
  const fds = inheritedFds(env);
  const resumed = carryOn(runDir, fds);
  if (!first) wait();
  go();
  return { fds, resumed, waited: waitMs > 0 };
}

function carryOn(runDir: string, fds: Fds): Inheritance["resumed"] {
  const estate = fds.tun === undefined ? null : readEstate(runDir);
  if (estate === null) return null;
  try {
    const dataplane = new Dataplane(loadNative(), { ...estate.settings, adopt: fds });
    dataplane.replaceRows(estate.rows);
    dataplane.start();
    return { dataplane, settings: estate.settings };
  } catch {
    // The daemon opens the same soon, and then says what is wrong.
    return null;
  }
}

/** What a process that has begun should do for those before it that did not last. */
interface Wait {
  readonly waitMs: number;
  /** Wait before packets are carried. */
  readonly first: boolean;
  /** To be called when the wait is over: who ends before did so while nothing but packets was carried. */
  readonly go: () => void;
}

/** Notes that a process has begun. */
export function noteStart(runDir: string, now: number = uptime()): Wait {
  const note = readNote(runDir);
  const count = note !== null && now - note.at < NOTE_LASTS ? note.count + 1 : 0;
  let waitMs = count < FORGIVEN ? 0 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (count - FORGIVEN));
  const write = (waiting: boolean): void => {
    try {
      writeFileSync(notePath(runDir), JSON.stringify({ count, at: now, waiting }), { mode: 0o600 });
    } catch (error) {
      // Without a memory of short lives, this may be one of many.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") waitMs = Math.max(waitMs, UNKNOWN_WAIT_MS);
    }
  };
  write(waitMs > 0);
  return { waitMs, first: note?.waiting === true && waitMs > 0, go: () => waitMs > 0 && write(false) };
}

/** This process has lasted, or ends in good order. */
export function noteLasting(runDir: string): void {
  try {
    rmSync(notePath(runDir), { force: true });
  } catch {
    // Where nothing can be written, nothing was noted.
  }
}

interface Note {
  /** Lives before this one that were short, in a row. */
  readonly count: number;
  readonly at: number;
  /** It waits, or died of carrying packets while it waited. */
  readonly waiting: boolean;
}

function readNote(runDir: string): Note | null {
  try {
    const { count, at, waiting } = JSON.parse(readFileSync(notePath(runDir), "utf8")) as Record<
      string,
      unknown
    >;
    if (!Number.isSafeInteger(count) || typeof at !== "number") return null;
    return { count: Math.max(0, count as number), at, waiting: waiting === true };
  } catch {
    return null;
  }
}

function notePath(runDir: string): string {
  return join(runDir, "starts");
}
