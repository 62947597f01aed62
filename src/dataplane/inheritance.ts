/**
 * What one process of weftd has from the one before, as types: descriptors, the file that says what its workers were
 * set to (estate.cts), and workers that carry packets by it already (resume.cts).
 */
import type { DataplaneEvent, Fds, OpenOptions, OpenResult } from "../native/bindings.js";

/** How the dataplane was opened, without what was adopted then. */
export type OpenSettings = Omit<OpenOptions, "adopt">;

/** Packed tables: self, peers, routes. */
export type Rows = readonly [Uint8Array, Uint8Array, Uint8Array];

export interface Estate {
  readonly settings: OpenSettings;
  readonly rows: Rows;
}

export interface Opened extends OpenResult {
  /** Sets who is told of events, on the event loop, and tells those there were. */
  readonly listen: (onEvents: (events: readonly DataplaneEvent[]) => void) => void;
}

/** A dataplane that runs, by what the file said. */
export interface Resumed extends Estate {
  readonly opened: Opened;
}

/** What is there before the daemon is. */
export interface Inheritance {
  readonly fds: Fds;
  readonly resumed: Resumed | null;
  /** Whether this process waited before it went on, because those before it did not last. */
  readonly waited: boolean;
}
