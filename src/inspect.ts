/** Looking at packets, for the admin socket: the one capture that there can be, and traces. */
import { CaptureStream } from "./capture.js";
import { WeftError } from "./config/errors.js";
import { Capture } from "./dataplane/capture.js";
import type { Dataplane } from "./dataplane/engine.js";
import type { Tables } from "./fib/compile.js";
import { forwardingProblems } from "./linux/forwarding.js";
import type { CaptureRequest, TraceRequest } from "./config/requests.js";
import type { TraceStatus } from "./observe/status.js";
import type { Subject } from "./report.js";
import { trace } from "./trace.js";

export class Inspector {
  readonly #subject: Subject;
  #capture: CaptureStream | null = null;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  /** Throws a WeftError while another capture runs, and before there is anything to see. */
  capture(request: CaptureRequest): CaptureStream {
    const { dataplane, tables } = this.#running();
    const { underlay } = this.#subject;
    if (this.#capture?.ended === false) {
      throw new WeftError("a capture is running already; end it with Ctrl-C where it was started, or wait");
    }
    const capture = dataplane.look((...engine) => new Capture(...engine, request));
    this.#capture = new CaptureStream(capture, request, {
      tun: dataplane.tun,
      underlay: underlay?.name ?? "underlay",
      self: tables.self,
      sentences: sentences(dataplane),
    });
    return this.#capture;
  }

  /** Ends the capture; false when none runs. */
  endCapture(): boolean {
    if (this.#capture?.ended !== false) return false;
    this.#capture.end();
    return true;
  }

  /** Throws a WeftError before there is a table to go by. */
  trace(request: TraceRequest): TraceStatus {
    const { dataplane, tables } = this.#running();
    return trace(dataplane, tables, request, {
      format: this.#subject.config?.backend.type ?? "vxlan",
      sentences: sentences(dataplane),
      forwardingProblems: forwardingProblems([request.source.family]),
    });
  }

  /** Ends what runs, and lets its reader have the rest. */
  async close(): Promise<void> {
    if (this.endCapture()) await this.#capture?.finished();
  }

  #running(): { readonly dataplane: Dataplane; readonly tables: Tables } {
    const { dataplane } = this.#subject;
    if (!dataplane?.tables) {
      throw new WeftError(
        "weftd is still starting and has no table yet; 'weft status' says what it waits for",
      );
    }
    return { dataplane, tables: dataplane.tables };
  }
}

/** By drop reason. */
function sentences(dataplane: Dataplane): ReadonlyMap<string, string> {
  const drops = dataplane.counters().filter(({ kind }) => kind === "drop");
  return new Map(drops.map(({ name, description }) => [name, description]));
}
