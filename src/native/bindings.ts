/**
 * The whole boundary between JavaScript and the native addon, typed, in one file and in the order of
 * `native/binding/module.c`.
 *
 * Rules: no call per packet ever crosses it. Tables go down whole, with a generation, and replace what was there;
 * there are no deltas to lose. Rows are packed as `native/core/tables.h` lays them out (addresses in network byte
 * order, integers in host byte order). Absent values are `null`, never `undefined`. Errors are thrown as `Error`
 * with Node's shape: `code` ("EBUSY"), `errno` (negative), `syscall`.
 */

/** One running dataplane: its TUN device, its sockets and its worker threads. Opaque to JavaScript. */
export type EngineHandle = { readonly __engine: unique symbol };

/** The encapsulation a node speaks on the wire. */
export type Format = "udp" | "vxlan";

/** Offloads that are probed at start and can be switched off one by one. */
export type Offload = "tso" | "uso" | "gso" | "gro";

export interface OpenOptions {
  /** Name of the TUN device to create; at most 15 bytes. */
  readonly tun: string;
  readonly format: Format;
  /** UDP port of the underlay sockets, both for listening and for sending to peers. */
  readonly port: number;
  /** Which underlay sockets to open. */
  readonly underlay4: boolean;
  readonly underlay6: boolean;
  /** Offloads that may be used if the kernel has them. */
  readonly offloads: readonly Offload[];
  /** Threads that carry packets: 1, or 2 for one per direction. */
  readonly workers: number;
  /** Whether workers may have real-time priority for bulk, if this process may have it. */
  readonly realtime: boolean;
  /**
   * Descriptors that another daemon opened. Each is duplicated where it is what would be opened now, else left alone;
   * closing them is the caller's.
   */
  readonly adopt: Fds;
}

/**
 * What one daemon can take over from another: the descriptors with packets in their queues, by name, and that of the
 * memory where workers keep what they have in their hands, for whoever goes on after one that died.
 */
export type FdName = "tun" | "underlay4" | "underlay6" | "journal";
export type Fds = { readonly [name in FdName]?: number };

export interface OpenResult {
  readonly engine: EngineHandle;
  /** Name and index of the TUN device, as the kernel knows it. */
  readonly tun: string;
  readonly ifindex: number;
  /** Offloads in use after probing. */
  readonly offloads: readonly Offload[];
  readonly workers: number;
  /** Whether they have real-time priority for bulk. */
  readonly realtime: boolean;
  /** The descriptors in use, and which of them were adopted. */
  readonly fds: Fds;
  readonly adopted: readonly FdName[];
}

/** One row of the table of counters; the index is the place in the array that `readCounters` fills. */
export interface CounterInfo {
  readonly name: string;
  readonly direction: "tx" | "rx";
  /** "drop" rows are drop reasons; `in = forwarded + consumed + all drops` holds per direction. */
  readonly kind: "in" | "forwarded" | "consumed" | "drop" | "other";
  /** One sentence for operators. */
  readonly description: string;
}

export interface Capabilities {
  readonly counters: readonly CounterInfo[];
  /** Names of the drop reasons by their numbers, as records of a capture have them; 0 is "not dropped". */
  readonly reasons: readonly string[];
  /** Sizes in bytes of the packed rows, checked against the packer's at load. */
  readonly rowSizes: { readonly self: number; readonly peer: number; readonly route: number };
}

/** Something a worker noticed. Delivered in batches on the event loop; repeats are merged by the worker. */
export interface DataplaneEvent {
  /**
   * `worker-failed`: a worker cannot go on (why, in `code`). `tun-gone`: the device was deleted.
   * `offload-off`: an offload was found broken at run time and is not used any more (`detail` names it).
   * `taken-over`: packets go on here; nobody carried any for `value` microseconds.
   * `peer-error`: an ICMP error or a send error about the peer with underlay address `address`.
   * `peer-drop`: the first packet from `address`, a peer's or a stranger's, that was dropped for the reason `detail`.
   * `path-mtu`: the path to the peer `address` was found to carry outer packets of `value` bytes.
   */
  readonly kind: "worker-failed" | "tun-gone" | "offload-off" | "taken-over" | "peer-error" | "peer-drop" | "path-mtu";
  /** Name of the errno. */
  readonly code: string | null;
  /** Text of the underlay address. */
  readonly address: string | null;
  readonly detail: string | null;
  readonly value: number | null;
}

/** Numbers per row that `readPeerCounters` writes, in this order. */
export const PEER_COUNTERS = ["txPackets", "txBytes", "rxPackets", "rxBytes", "errors", "lastReceived", "pathMtu"] as const;

/** Bytes that `captureRead` may have to write. */
export const CAPTURE_RING = 8 * 1024 * 1024;

/** What would become of a packet. */
export interface NativeTrace {
  /** Why it would be dropped; null: it would not. */
  readonly reason: string | null;
  /** What would be sent: UDP payloads, the TOS of their outer headers, and the rows of the peers. */
  readonly datagrams: readonly { readonly peer: number; readonly tos: number; readonly bytes: Uint8Array }[];
  /** What would be written to the TUN: a received packet, or an ICMP error about the one that was traced. */
  readonly packet: Uint8Array | null;
  readonly reply: Uint8Array | null;
}

export interface Native {
  // --- down -----------------------------------------------------------------------------------------------------
  /** Opens TUN and sockets. Nothing is forwarded yet; throws and leaves nothing behind when any part fails. */
  open(options: OpenOptions): OpenResult;
  /** Starts the workers; they wait first until the descriptor `gate` can be read, unless that is null. */
  start(engine: EngineHandle, gate: number | null): void;
  /**
   * Stops the workers, who carry what they have read to its end; the last one sends a datagram to the unix socket `gate`,
   * unless that is null, and an error of that is thrown. `start` starts them again.
   */
  pause(engine: EngineHandle, gate: string | null): void;
  /** Replaces all tables at once under running traffic. Idempotent. Copies its arguments. */
  replaceTables(
    engine: EngineHandle,
    generation: number,
    self: Uint8Array,
    peers: Uint8Array,
    routes: Uint8Array,
  ): void;
  /**
   * Stops and joins the workers, closes sockets and TUN, which removes the device unless another process has it open.
   * Idempotent.
   */
  stop(engine: EngineHandle): void;

  // --- up -------------------------------------------------------------------------------------------------------
  /**
   * Whether every worker has gone through its loop since the last call; true the first time. To be called every now and
   * then: it wakes those that sleep, so that they have by the next call.
   */
  advanced(engine: EngineHandle): boolean;
  /** Fills `into` (one place per row of `capabilities().counters`) with the sum over the workers. */
  readCounters(engine: EngineHandle, into: BigUint64Array): void;
  /**
   * Fills `into` with `PEER_COUNTERS.length` numbers per peer row of the last `replaceTables`, in its order.
   * `lastReceived` is CLOCK_MONOTONIC in milliseconds, 0 for never; `pathMtu` is that of the outer packet in bytes,
   * 0 while none smaller than the interface's is known.
   */
  readPeerCounters(engine: EngineHandle, into: BigUint64Array): void;
  /** Sets the receiver of events, once per engine and before `start`. It does not keep the process alive. */
  onEvents(engine: EngineHandle, receiver: (events: readonly DataplaneEvent[]) => void): void;

  /** The table of counters and the layout of rows; the same for every engine. */
  capabilities(): Capabilities;

  // --- looking at packets ---------------------------------------------------------------------------------------
  /**
   * Lets the workers record what they see and the filter wants (a packed row, `native/io/capture.h`). Throws EBUSY
   * while another capture runs.
   */
  captureStart(engine: EngineHandle, filter: Uint8Array): void;
  /** Moves records to `into`, CAPTURE_RING bytes; returns how many bytes, 0 when nothing waits. Only whole records. */
  captureRead(engine: EngineHandle, into: Uint8Array): number;
  /** Ends the capture; what was not read is gone. Returns how many records did not fit, by step. Idempotent. */
  captureStop(engine: EngineHandle): readonly number[];
  /**
   * Runs a packet through the code that forwards, under the tables in use, and leaves no mark: as read from the TUN
   * when `peer` is null, else as the payload of a datagram from the peer with that row. At most 65535 bytes.
   */
  trace(engine: EngineHandle, peer: number | null, bytes: Uint8Array): NativeTrace;

  // --- system ---------------------------------------------------------------------------------------------------
  /**
   * Sends one netlink request on a fresh socket of `protocol` (0 = NETLINK_ROUTE) and returns every datagram of the
   * answer, up to and including the one that ends it (NLMSG_DONE or NLMSG_ERROR). Blocks for at most 5 s (ETIMEDOUT).
   * A kernel's NLMSG_ERROR is an answer, not an exception.
   */
  netlink(protocol: number, request: Uint8Array): Uint8Array[];
  /**
   * Sends one datagram, and at most eight descriptors with it, to a unix socket; a leading "@" means the abstract
   * namespace, as sd_notify wants it.
   */
  sendDatagram(path: string, data: Uint8Array, fds: readonly number[]): void;
  /** Creates a unix socket that receives datagrams at a path; returns its descriptor. */
  bindDatagram(path: string): number;
  /** The descriptors that came with the next datagram of such a socket. Blocks for at most 1 s (EAGAIN). */
  receiveDescriptors(fd: number): number[];
  /**
   * Creates and locks a file for this process (flock, exclusive, not waiting): EAGAIN when another process holds
   * it. Returns a file descriptor that keeps the lock until it is closed.
   */
  lockFile(path: string): number;
  /** FNV-1a of 64 bits: tells whatever one byte was changed to, and shorter or longer data but for once in 2^64. */
  checksum(data: Uint8Array): bigint;
}
