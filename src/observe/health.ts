/**
 * How the daemon is: each part reports its own state with a sentence, the worst one counts. Until the daemon says that
 * it is ready, the whole is "starting".
 */
import type { HealthStatus } from "./status.js";

export class Health {
  readonly #parts = new Map<string, { readonly state: "degraded" | "failed"; readonly reason: string }>();
  readonly #onChange: (status: HealthStatus) => void;
  #ready = false;
  #last: HealthStatus = { state: "starting", reasons: [] };

  /** `onChange` is called after every change of the state or of a reason, never twice with the same. */
  constructor(onChange: (status: HealthStatus) => void) {
    this.#onChange = onChange;
  }

  /** All is well with a part. */
  ok(part: string): void {
    this.#parts.delete(part);
    this.#update();
  }

  /** Traffic flows, but not all is well: `reason` is a sentence for people. */
  degraded(part: string, reason: string): void {
    this.#parts.set(part, { state: "degraded", reason });
    this.#update();
  }

  /** The part does not do its work. */
  failed(part: string, reason: string): void {
    this.#parts.set(part, { state: "failed", reason });
    this.#update();
  }

  /** Packets can flow from now on. */
  ready(): void {
    this.#ready = true;
    this.#update();
  }

  status(): HealthStatus {
    return this.#last;
  }

  #update(): void {
    const parts = [...this.#parts.values()];
    const failed = parts.some(({ state }) => state === "failed");
    const next: HealthStatus = {
      state: failed ? "failed" : !this.#ready ? "starting" : parts.length > 0 ? "degraded" : "ready",
      reasons: parts.map(({ reason }) => reason),
    };
    if (JSON.stringify(next) === JSON.stringify(this.#last)) return;
    this.#last = next;
    this.#onChange(next);
  }
}
