/**
 * The first thing that a process of weftd does: has packets flow again that wait since the last one ended, from what it
 * left (`dataplane/estate.cts`). Settings, registry and log come later, and no package is loaded before: each would be part
 * of the pause. So would be the loader of ES modules: this file and what it requires are CommonJS.
 *
 * A process that keeps dying must not take the machine with it: who finds that several before it did not last waits,
 * longer every time. Its workers carry packets meanwhile. If the one before it died of that at once, they wait as well, for
 * no longer than the queues hold; one that was ended later was killed by somebody, and that is no reason to wait.
 */
import fs = require("node:fs");
import estates = require("./dataplane/estate.cjs");
import type { Inheritance, Resumed } from "./dataplane/inheritance.js" with { "resolution-mode": "import" };
import open = require("./dataplane/open.cjs");
import type { Fds } from "./native/bindings.js" with { "resolution-mode": "import" };
import load = require("./native/load.cjs");

const NOTHING: Inheritance = { fds: {}, resumed: null, waited: false };

/** Short lives in a row that cost no wait, and the waits after that. */
const FORGIVEN = 3;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;
/** Who ends so soon, in seconds, while nothing but packets is carried, died of these. */
const SOON = 0.8;
/** The queues hold 50 000 packets. */
const LONGEST_SILENCE_MS = 1000;
/** The wait where short lives cannot be noted. */
const UNKNOWN_WAIT_MS = 1000;
/** Older than this, in seconds, the note is of other times. */
const NOTE_LASTS = 60;

/** Never throws: what cannot be resumed is started. Blocks for the wait. */
function resume(env: NodeJS.ProcessEnv): Inheritance {
  // The unit names the directory; without a service manager, nobody keeps anything.
  const runDir = env["WEFT_RUN_DIR"];
  if (runDir === undefined || env["NOTIFY_SOCKET"] === undefined) return NOTHING;
  // One that is to take over from a process that lives (`weft restart`): its end is no end of the service.
  if (env["MAINPID"] !== undefined) return NOTHING;
  const start = noteStart(runDir);
  sleep(start.silenceMs);
  start.carrying();
  const fds = estates.inheritedFds(env);
  const resumed = carryOn(runDir, fds);
  sleep(start.waitMs);
  start.over();
  return { fds, resumed, waited: start.waitMs > 0 };
}

function sleep(milliseconds: number): void {
  if (milliseconds > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

function carryOn(runDir: string, fds: Fds): Resumed | null {
  const estate = fds.tun === undefined ? null : estates.readEstate(runDir);
  if (estate === null) return null;
  const native = load.loadNative();
  let opened;
  try {
    opened = open.openEngine(native, { ...estate.settings, adopt: fds });
    native.replaceTables(opened.engine, 1, ...estate.rows);
    native.start(opened.engine, null);
    return { ...estate, opened };
  } catch {
    // The daemon opens the same soon, and then says what is wrong.
    if (opened !== undefined) native.stop(opened.engine);
    return null;
  }
}

/** What a process that has begun should do for those before it that did not last, and tell when it does. */
interface Start {
  /** First wait, without packets. */
  readonly silenceMs: number;
  readonly carrying: (now?: number) => void;
  /** Then wait while nothing but packets is carried. */
  readonly waitMs: number;
  readonly over: () => void;
}

/** Notes that a process has begun. */
function noteStart(runDir: string, now: number = monotonic()): Start {
  const last = readNote(runDir);
  const age = last === null ? Infinity : now - last.at;
  const killed = last?.waiting === true && age >= SOON;
  const count = last === null || age >= NOTE_LASTS ? 0 : last.count + (killed ? 0 : 1);
  let waitMs = count < FORGIVEN ? 0 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (count - FORGIVEN));
  let at = now;
  const write = (waiting: boolean): void => {
    try {
      fs.writeFileSync(notePath(runDir), JSON.stringify({ count, at, waiting }), { mode: 0o600 });
    } catch (error) {
      // Without a memory of short lives, this may be one of many.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") waitMs = Math.max(waitMs, UNKNOWN_WAIT_MS);
    }
  };
  write(false);
  return {
    silenceMs: last?.waiting === true && !killed ? Math.min(waitMs, LONGEST_SILENCE_MS) : 0,
    carrying: (time = monotonic()) => {
      at = time;
      if (waitMs > 0) write(true);
    },
    waitMs,
    over: () => waitMs > 0 && write(false),
  };
}

/** This process has lasted, or ends in good order. */
function noteLasting(runDir: string): void {
  try {
    fs.rmSync(notePath(runDir), { force: true });
  } catch {
    // Where nothing can be written, nothing was noted.
  }
}

interface Note {
  /** Lives before this one that were short, in a row. */
  readonly count: number;
  readonly at: number;
  /** It waits while it carries packets, since `at`, or ended then. */
  readonly waiting: boolean;
}

function readNote(runDir: string): Note | null {
  try {
    const { count, at, waiting } = JSON.parse(fs.readFileSync(notePath(runDir), "utf8")) as Record<
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
  return `${runDir}/starts`;
}

/** Seconds since the machine was started. */
function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

export = { NOTHING, noteLasting, noteStart, resume };
