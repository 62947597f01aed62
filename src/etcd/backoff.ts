/** Waiting between tries against etcd: 0.1 s at first, doubling up to 3 s, each with jitter. */
import { setTimeout as delay } from "node:timers/promises";

const SHORTEST_MS = 100;
/** With the time to connect, up to 2 s between two SYNs of the kernel, etcd is found again within 5 s of its return. */
const LONGEST_MS = 3000;

export class Backoff {
  #nextMs = SHORTEST_MS;

  /** Waits for the next pause. Rejects with the signal's reason when it fires. */
  async wait(signal: AbortSignal): Promise<void> {
    const pauseMs = this.#nextMs * (0.5 + Math.random() / 2);
    this.#nextMs = Math.min(this.#nextMs * 2, LONGEST_MS);
    await pause(pauseMs, signal);
  }

  /** To be called after a success. */
  reset(): void {
    this.#nextMs = SHORTEST_MS;
  }
}

/** Waits; rejects with the signal's reason when it fires. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(milliseconds, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
