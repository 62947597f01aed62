/**
 * A planned change from one daemon to the next, under traffic. The next one (`weftd --replace`) talks to the one that
 * runs over its admin socket, while that carries packets as ever:
 *
 *   successor                              predecessor
 *   PUT /handover {version, socket}   ──►  sends its descriptors, TUN, sockets, journal and lock, to that
 *                                          unix socket
 *   … reads its settings, takes the lease, builds its tables, everything but packets …
 *   starts its workers, who wait for a
 *   datagram at the socket
 *   PUT /handover/pause {the same}    ──►  its workers carry what they have read to its end, and stop;
 *                                          the last one sends the datagram; it begins an answer
 *   PUT /handover/end                 ──►  closes its listeners, answers, and ends without touching anything
 *
 * Packets wait in the queues only for the time that it takes one thread to wake another: on either side, no JavaScript
 * runs in between. Until the last request either side may fail, hang or vanish, and the predecessor goes on. The answer
 * to the pause stays open until then: when its connection closes, the successor is gone, and the workers of the
 * predecessor start again at once; when nothing comes for a while, they start as well, and should the successor be
 * alive after all, both carry packets until it says so. Who speaks another version is refused before anything happens,
 * and so is, at the pause, who was not the last to ask for the descriptors.
 */
import { closeSync, existsSync, readdirSync, rmSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { ask, open } from "./cli/client.js";
import { EXIT_NOT_RUNNING, WeftError } from "./config/errors.js";
import type { Dataplane } from "./dataplane/engine.js";
import estates from "./dataplane/estate.cjs";
import type { FdName, Fds, Native } from "./native/bindings.js";
import type { HandoverRequest } from "./observe/admin.js";
import type { ByteStream } from "./observe/http.js";
import type { Log } from "./observe/log.js";

/** Of the requests and their answers; to be raised when one of them comes to mean something else. */
export const HANDOVER_VERSION = 1;
/** A successor that does not hear from its predecessor for so long stops its workers, and says so by leaving. */
const PAUSE_MS = 500;
/** The workers of a predecessor run again when the successor says nothing for so long: the queues hold no more. */
const SILENCE_MS = 300;
/** A predecessor that does not end for so long is killed. */
const END_MS = 1500;

const SOCKET = /^handover-(\d+)$/;

/** What the first request is answered with. */
interface Offer {
  readonly version: number;
  readonly pid: number;
  /** The names of the descriptors, in the order in which they are sent. */
  readonly fds: readonly string[];
  /** How often the service manager wants a sign of life, in milliseconds; 0: never. It tells only whom it starts. */
  readonly watchdogMs: number;
  /** Whether the daemon is a service of a service manager. */
  readonly service: boolean;
}

/** The side that goes on: the daemon that runs, as its successor sees it. */
export class Predecessor {
  /** Open while the predecessor's workers are stopped for this process. */
  #pause: IncomingMessage | null = null;

  private constructor(
    private readonly runDir: string,
    private readonly pid: number,
    /** A unix socket for datagrams, and its path. */
    private readonly socket: number,
    private readonly path: string,
    readonly fds: Fds,
    /** The lock of the run directory, held by both until one ends. */
    readonly lock: number,
    readonly watchdogMs: number,
  ) {}

  /** Null when no daemon runs. Rejects with a WeftError when it refuses, or does not answer. */
  static async meet(native: Native, runDir: string): Promise<Predecessor | null> {
    const path = join(runDir, `handover-${process.pid}`);
    const socket = bindSocket(native, runDir, path);
    if (socket === null) return null;
    try {
      const offer = (await ask(runDir, "PUT", "/handover", requestOf(path))) as Offer;
      const { pid, fds, watchdogMs } = offer;
      const { lock, ...rest } = byName(fds, native.receiveDescriptors(socket));
      if (offer.service && !isService()) {
        throw new WeftError(
          "the weftd that runs is a service, and this would be none, with none of its settings: " +
            "use 'systemctl reload weftd'",
        );
      }
      return new Predecessor(runDir, pid, socket, path, rest, lock, watchdogMs);
    } catch (error) {
      closeSync(socket);
      rmSync(path, { force: true });
      if (error instanceof WeftError && error.exitCode === EXIT_NOT_RUNNING) return null;
      throw error;
    }
  }

  /** Has the workers of `dataplane` go on where its own stop. Rejects with a WeftError when it goes on itself instead. */
  async handOver(dataplane: Dataplane): Promise<void> {
    dataplane.start(this.socket);
    try {
      const request = JSON.stringify(requestOf(this.path));
      this.#pause = await open(this.runDir, "PUT", "/handover/pause", request, PAUSE_MS);
      // It ends with the predecessor, in whatever way.
      this.#pause.on("error", () => undefined).resume();
    } catch (error) {
      dataplane.pause();
      throw error;
    } finally {
      rmSync(this.path, { force: true });
    }
  }

  /** Ends it. One that does not even answer this is killed: the packets are another's by now. */
  async end(log: Log): Promise<void> {
    try {
      await ask(this.runDir, "PUT", "/handover/end", null, END_MS);
    } catch (err) {
      log.warn({ err }, "the weftd before this one does not end and is killed");
      kill(this.pid);
    }
    this.#pause?.destroy();
  }
}

/** The side that ends: what the daemon that runs does for its successor. */
export class Succession {
  /** The socket of whom the descriptors were sent to last. */
  #heir: string | null = null;
  /** Set from the pause until its successor ends it, or is gone: fires when nothing has come for too long. */
  #silence: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(
    private readonly native: Native,
    private readonly dataplane: Dataplane,
    private readonly lock: number,
    private readonly watchdogMs: number,
    private readonly log: Log,
  ) {}

  /** Sends the descriptors. Throws a WeftError for a version that is not this one's. */
  offer({ version, socket }: HandoverRequest): Offer {
    if (version !== HANDOVER_VERSION) {
      throw new WeftError(
        `the hand-over of version ${version} is not known here, only ${HANDOVER_VERSION}: ` +
          "restart weftd instead ('systemctl restart weftd')",
      );
    }
    const fds = Object.entries({ ...this.dataplane.fds, lock: this.lock });
    try {
      this.native.sendDatagram(
        socket,
        Buffer.of(0),
        fds.map(([, fd]) => fd),
      );
    } catch (error) {
      throw unreachable(error);
    }
    this.#heir = socket;
    return {
      version,
      pid: process.pid,
      fds: fds.map(([name]) => name),
      watchdogMs: this.watchdogMs,
      service: isService(),
    };
  }

  /** Stops the workers and has the successor's begin, until the reader of the answer goes away. */
  pause({ socket }: HandoverRequest): ByteStream {
    if (socket !== this.#heir) throw new WeftError("another weftd has begun to take over since");
    if (this.#silence !== null) throw new WeftError("the workers are stopped already");
    this.#stopped = true;
    try {
      this.dataplane.pause(socket);
    } catch (error) {
      this.#goOn();
      throw unreachable(error);
    }
    const silence = setTimeout(() => this.#goOn(), SILENCE_MS);
    this.#silence = silence;
    return held(() => {
      if (this.#silence !== silence) return;
      clearTimeout(silence);
      this.#silence = null;
      this.#goOn();
    });
  }

  /** Throws a WeftError unless there was a pause by whom is there still. */
  end(): void {
    if (this.#silence === null) throw new WeftError("the workers run: there was no pause, or it is over");
    clearTimeout(this.#silence);
    this.#silence = null;
    this.#heir = null;
    // They may have begun again meanwhile.
    if (!this.#stopped) this.dataplane.pause();
    this.log.info("the next weftd has taken over");
  }

  #goOn(): void {
    // Workers that went on beside one that has died since take up what that had in its hands when they begin again.
    if (!this.#stopped) this.dataplane.pause();
    this.#stopped = false;
    this.dataplane.start();
    this.log.warn("the next weftd did not take over; going on");
  }
}

function unreachable(cause: unknown): WeftError {
  return new WeftError(`cannot hand over: ${(cause as Error).message}`, undefined, { cause });
}

/** Whether a service manager started this process, and hears it (sd_notify(3)). */
function isService(): boolean {
  return (process.env["NOTIFY_SOCKET"] ?? "") !== "";
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // Somebody else did.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function requestOf(socket: string): HandoverRequest {
  return { version: HANDOVER_VERSION, socket };
}

/** An answer that begins at once, and does not end before its reader goes away, which it then tells. */
function held(onClose: () => void): ByteStream {
  let close: () => void = onClose;
  const closed = new Promise<void>((resolve) => {
    close = (): void => {
      resolve();
      onClose();
    };
  });
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("\n");
    await closed;
  }
  return { chunks: chunks(), trailers: () => ({}), close: () => close() };
}

/** The descriptors by the names that the predecessor gives them. Throws a WeftError when they are not what is needed. */
function byName(names: readonly string[], fds: readonly number[]): Fds & { readonly lock: number } {
  const received = new Map(names.map((name, i) => [name, fds[i]]));
  const known = names.every((name) => name === "lock" || estates.FD_NAMES.includes(name as FdName));
  const lock = received.get("lock");
  if (lock === undefined || !known || received.size !== names.length || fds.length !== names.length) {
    for (const fd of fds) closeSync(fd);
    throw new WeftError("the running weftd did not hand over what this one needs: restart weftd instead");
  }
  return { ...Object.fromEntries(received), lock };
}

/**
 * Null when there is no such directory, and so no daemon. Only the same user may send descriptors there. What
 * successors left behind that were killed is removed.
 */
function bindSocket(native: Native, runDir: string, path: string): number | null {
  const umask = process.umask(0o177);
  try {
    for (const name of readdirSync(runDir)) {
      const pid = SOCKET.exec(name)?.[1];
      if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(runDir, name), { force: true });
    }
    rmSync(path, { force: true });
    return native.bindDatagram(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new WeftError(`cannot take over: ${(cause as Error).message}`, undefined, { cause });
  } finally {
    process.umask(umask);
  }
}
