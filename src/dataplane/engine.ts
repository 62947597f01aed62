/**
 * The dataplane as the daemon uses it: open, replace tables, read counters, stop. Tables go down whole; the engine
 * remembers the last ones, so that counters per peer can be told by name.
 */
import type { PeerRow, Tables } from "../fib/compile.js";
import {
  type CounterInfo,
  type DataplaneEvent,
  type EngineHandle,
  type FdName,
  type Fds,
  type Native,
  type NativeTrace,
  type Offload,
  type OpenOptions,
  PEER_COUNTERS,
} from "../native/bindings.js";
import type { Opened, Resumed, Rows } from "./inheritance.js";
import open from "./open.cjs";
import { PEER_ROW_SIZE, ROUTE_ROW_SIZE, SELF_ROW_SIZE, packPeers, packRoutes, packSelf } from "./rows.js";

export interface CounterValue extends CounterInfo {
  readonly value: number;
}

/**
 * Traffic with one peer since it was first in the tables. `lastReceived`: CLOCK_MONOTONIC in ms, 0 = never. `pathMtu`:
 * the largest datagram that the path to it takes, outer headers included, 0 = unknown.
 */
export type PeerTraffic = Record<(typeof PEER_COUNTERS)[number], number>;

export class Dataplane {
  readonly tun: string;
  readonly ifindex: number;
  readonly workers: number;
  /** Whether the workers have real-time priority for bulk. */
  readonly realtime: boolean;
  /** The descriptors with packets in their queues, and which of them another daemon had opened. */
  readonly fds: Fds;
  readonly adopted: readonly FdName[];
  #offloads: readonly Offload[];
  readonly #native: Native;
  readonly #opened: Opened;
  readonly #engine: EngineHandle;
  readonly #counters: readonly CounterInfo[];
  readonly #reasons: readonly string[];
  #tables: Tables | null = null;
  /** The same tables, packed. */
  #rows: Rows | null;
  #generation: number;

  /** The tables of the one that was opened are `rows`, where it has some. */
  private constructor(native: Native, opened: Opened, rows: Rows | null) {
    const { counters, reasons, rowSizes } = native.capabilities();
    if (
      rowSizes.self !== SELF_ROW_SIZE ||
      rowSizes.peer !== PEER_ROW_SIZE ||
      rowSizes.route !== ROUTE_ROW_SIZE
    ) {
      native.stop(opened.engine);
      throw new Error("the native addon was built from another version: run `npm run build:native`");
    }
    this.#native = native;
    this.#counters = counters;
    this.#reasons = reasons;
    this.#opened = opened;
    this.#engine = opened.engine;
    this.#offloads = opened.offloads;
    this.tun = opened.tun;
    this.ifindex = opened.ifindex;
    this.workers = opened.workers;
    this.realtime = opened.realtime;
    this.fds = opened.fds;
    this.adopted = opened.adopted;
    this.#rows = rows;
    this.#generation = rows === null ? 0 : 1;
  }

  /**
   * Opens TUN and sockets. Throws the native error (EBUSY, EADDRINUSE, EPERM, ENOENT, …; `syscall` names the call)
   * and leaves nothing behind when that fails.
   */
  static open(native: Native, options: OpenOptions): Dataplane {
    return new Dataplane(native, open.openEngine(native, options), null);
  }

  /** One that carries packets already. */
  static resumed(native: Native, { opened, rows }: Resumed): Dataplane {
    return new Dataplane(native, opened, rows);
  }

  /** Sets who is told of events, on the event loop, and tells those there were. */
  listen(onEvents: (events: readonly DataplaneEvent[]) => void): void {
    this.#opened.listen((events) => {
      const off = new Set(events.filter(({ kind }) => kind === "offload-off").map(({ detail }) => detail));
      this.#offloads = this.#offloads.filter((offload) => !off.has(offload));
      onEvents(events);
    });
  }

  /** Starts forwarding with the tables that were set, as soon as the descriptor `gate` can be read if one is given. */
  start(gate: number | null = null): void {
    this.#native.start(this.#engine, gate);
  }

  /** Replaces all tables at once, under running traffic. False when the workers have the same ones already. */
  replaceTables(tables: Tables): boolean {
    const rows = this.#pack(tables);
    const same = this.#has(rows);
    // What has no row, a lease's key for instance, may differ all the same.
    this.#tables = tables;
    if (!same) this.replaceRows(rows);
    return !same;
  }

  /** Whether the workers have these tables. */
  has(tables: Tables): boolean {
    return this.#has(this.#pack(tables));
  }

  /** The same with tables that another daemon packed. Throws when they are no tables. */
  replaceRows(rows: Rows): void {
    this.#native.replaceTables(this.#engine, ++this.#generation, ...rows);
    this.#rows = rows;
  }

  /** The tables in use, packed; null before the first. */
  get rows(): Rows | null {
    return this.#rows;
  }

  /** The tables in use; null before the first. */
  get tables(): Tables | null {
    return this.#tables;
  }

  /** Counts the tables; 0 before the first. */
  get generation(): number {
    return this.#generation;
  }

  /** Offloads in use: those that were found, less those that turned out to be broken. */
  get offloads(): readonly Offload[] {
    return this.#offloads;
  }

  counters(): CounterValue[] {
    const values = new BigUint64Array(this.#counters.length);
    this.#native.readCounters(this.#engine, values);
    return this.#counters.map((info, i) => ({ ...info, value: Number(values[i]) }));
  }

  /** The sentence about a reason for drops on receive; null for an unknown one. */
  describeDrop(reason: string): string | null {
    const row = this.#counters.find(
      ({ name, kind, direction }) => name === reason && kind === "drop" && direction === "rx",
    );
    return row?.description ?? null;
  }

  /** The node of the tables in use that has an underlay address, or an alias for it; null for a stranger. */
  nodeAt(address: string): string | null {
    const peer = this.#tables?.peers.find((row) => row.address.text === address);
    return (peer && this.#tables?.nodes[peer.node]) ?? null;
  }

  /** Traffic per peer row of the tables in use, in their order. */
  peerTraffic(): { readonly peer: PeerRow; readonly traffic: PeerTraffic }[] {
    const peers = this.#tables?.peers ?? [];
    const width = PEER_COUNTERS.length;
    const values = new BigUint64Array(peers.length * width);
    this.#native.readPeerCounters(this.#engine, values);
    return peers.map((peer, i) => ({
      peer,
      traffic: Object.fromEntries(
        PEER_COUNTERS.map((name, j) => [name, Number(values[i * width + j])]),
      ) as PeerTraffic,
    }));
  }

  /** Has `open` look into the engine: a capture (dataplane/capture.ts), with the drop reasons by their numbers. */
  look<T>(open: (native: Native, engine: EngineHandle, reasons: readonly string[]) => T): T {
    return open(this.#native, this.#engine, this.#reasons);
  }

  /** What would become of a packet read from the TUN, or of a datagram's payload from a row of the tables' peers. */
  trace(peer: number | null, bytes: Uint8Array): NativeTrace {
    return this.#native.trace(this.#engine, peer, bytes);
  }

  /**
   * Stops the workers; the packets then wait for `start`, here or in a process that has the descriptors. The last one to
   * stop sends a datagram to the unix socket `gate`, if there is one; throws when that cannot be.
   */
  pause(gate: string | null = null): void {
    this.#native.pause(this.#engine, gate);
  }

  /** Whether every worker moved since the last call: to be called every now and then. */
  advanced(): boolean {
    return this.#native.advanced(this.#engine);
  }

  /** Stops the workers and removes the TUN, unless another process has it open. */
  stop(): void {
    this.#native.stop(this.#engine);
  }

  #has(rows: Rows): boolean {
    return this.#rows?.every((each, index) => Buffer.compare(each, rows[index] ?? each) === 0) === true;
  }

  /** What did not change is not packed again. */
  #pack(tables: Tables): Rows {
    const [, peers, routes] = this.#rows ?? [];
    const known = this.#tables;
    return [
      packSelf(tables.self),
      packPeers(tables.peers, known && peers ? { rows: known.peers, bytes: peers } : null),
      packRoutes(tables.routes, known && routes ? { rows: known.routes, bytes: routes } : null),
    ];
  }
}
