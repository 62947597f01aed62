/**
 * A planned change from one daemon to the next, under traffic. The next one (`weftd --replace`) talks to the one that
 * runs over its admin socket, while that carries packets as ever:
 *
 *   successor                              predecessor
 *   PUT /handover {version, socket}   ──►  sends its descriptors, TUN, sockets and lock, to that unix socket
 *   … reads its settings, takes the lease, builds its tables, everything but packets …
 *   starts its workers, who wait for a
 *   datagram at the socket
 *   PUT /handover/pause               ──►  its workers carry what they have read to its end, and stop;
 *                                          then it sends the datagram
 *   PUT /handover/end                 ──►  closes its listeners, answers, and ends without touching anything
 *
 * Packets wait in the queues only for the time that it takes one thread to wake another: on either side, no JavaScript
 * runs in between. Until the last request either side
 * may fail, hang or vanish, and the predecessor goes on: its workers start again by themselves when a successor that
 * had them stopped says nothing more. Who speaks another version is refused before anything happens.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { ask } from "./cli/client.js";
import { EXIT_NOT_RUNNING, WeftError } from "./config/errors.js";
import type { Dataplane } from "./dataplane/engine.js";
import type { Fds, Native } from "./native/bindings.js";
import type { Log } from "./observe/log.js";

/** Of the requests and their answers; to be raised when one of them comes to mean something else. */
export const HANDOVER_VERSION = 1;
/** A successor that does not hear from its predecessor for so long stops its workers … */
const SUCCESSOR_MS = 500;
/** … since those of the predecessor run again when the successor says nothing for so long. */
const PREDECESSOR_MS = 1500;

/** What the first request brings. */
export interface HandoverRequest {
  readonly version: number;
  readonly socket: string;
}

/** What it is answered with. */
interface Offer {
  readonly version: number;
  readonly pid: number;
  /** The names of the descriptors, in the order in which they are sent. */
  readonly fds: readonly string[];
  /** How often the service manager wants a sign of life, in milliseconds; 0: never. It tells only whom it starts. */
  readonly watchdogMs: number;
}

/** The side that goes on: the daemon that runs, as its successor sees it. */
export class Predecessor {
  private constructor(
    private readonly runDir: string,
    private readonly pid: number,
    /** A unix socket for datagrams. */
    private readonly socket: number,
    readonly fds: Fds,
    /** The lock of the run directory, held by both until one ends. */
    readonly lock: number,
    readonly watchdogMs: number,
  ) {}

  /** Null when no daemon runs. Rejects with a WeftError when it refuses. */
  static async meet(native: Native, runDir: string): Promise<Predecessor | null> {
    const path = join(runDir, `handover-${process.pid}`);
    const socket = bindSocket(native, path);
    if (socket === null) return null;
    try {
      const request: HandoverRequest = { version: HANDOVER_VERSION, socket: path };
      const { pid, fds, watchdogMs } = (await ask(runDir, "PUT", "/handover", request)) as Offer;
      const received = native.receiveDescriptors(socket);
      const { lock, ...rest } = Object.fromEntries(fds.map((name, i) => [name, received[i]]));
      if (lock === undefined) throw new WeftError("the running weftd did not hand over its lock");
      return new Predecessor(runDir, pid, socket, rest, lock, watchdogMs);
    } catch (error) {
      rmSync(path, { force: true });
      if (error instanceof WeftError && error.exitCode === EXIT_NOT_RUNNING) return null;
      throw error;
    }
  }

  /** Has the workers of `dataplane` go on where its own stop. Rejects with a WeftError when it goes on itself instead. */
  async handOver(dataplane: Dataplane): Promise<void> {
    dataplane.start(this.socket);
    try {
      await ask(this.runDir, "PUT", "/handover/pause", null, SUCCESSOR_MS);
    } catch (error) {
      dataplane.pause();
      throw error;
    } finally {
      rmSync(join(this.runDir, `handover-${process.pid}`), { force: true });
    }
  }

  /** Ends it. One that does not even answer this is killed: the packets are another's by now. */
  async end(log: Log): Promise<void> {
    try {
      await ask(this.runDir, "PUT", "/handover/end", null, PREDECESSOR_MS);
    } catch (err) {
      log.warn({ err }, "the weftd before this one does not end and is killed");
      process.kill(this.pid, "SIGKILL");
    }
  }
}

/** The side that ends: what the daemon that runs does for its successor. */
export class Succession {
  #resume: NodeJS.Timeout | null = null;
  #socket = "";

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
        `the hand-over of version ${version} is not known here, only ${HANDOVER_VERSION}: stop this weftd and start the other`,
      );
    }
    const fds = Object.entries({ ...this.dataplane.fds, lock: this.lock });
    const values = fds.map(([, fd]) => fd);
    this.#socket = socket;
    this.#send(values);
    return { version, pid: process.pid, fds: fds.map(([name]) => name), watchdogMs: this.watchdogMs };
  }

  /** Stops the workers, for a while, and lets the successor's begin. */
  pause(): void {
    if (this.#resume !== null) throw new WeftError("the workers are stopped already");
    this.dataplane.pause();
    this.#resume = setTimeout(() => {
      this.log.warn("the next weftd did not take over; going on");
      this.#resume = null;
      this.dataplane.start();
    }, PREDECESSOR_MS);
    this.#send([]);
  }

  /** Throws a WeftError unless the workers are stopped. */
  end(): void {
    if (this.#resume === null) throw new WeftError("the workers run: there was no pause, or it is over");
    clearTimeout(this.#resume);
    this.log.info("the next weftd has taken over");
  }

  #send(fds: readonly number[]): void {
    try {
      this.native.sendDatagram(this.#socket, Buffer.of(0), fds);
    } catch (cause) {
      throw new WeftError(`cannot hand over: ${(cause as Error).message}`, undefined, { cause });
    }
  }
}

/** Null when there is no such directory, and so no daemon. Only the same user may send descriptors there. */
function bindSocket(native: Native, path: string): number | null {
  rmSync(path, { force: true });
  const umask = process.umask(0o177);
  try {
    return native.bindDatagram(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new WeftError(`cannot take over: ${(cause as Error).message}`, undefined, { cause });
  } finally {
    process.umask(umask);
  }
}
