/**
 * Tells systemd how far the daemon is (sd_notify(3)): one datagram per message to the socket that NOTIFY_SOCKET names.
 * Without that variable nothing is sent.
 */

export interface Notifier {
  /** Packets can flow. `status` is shown by `systemctl status`. */
  ready(status: string): void;
  status(text: string): void;
  /** A reload has begun; it ends with `ready`. */
  reloading(): void;
  stopping(): void;
  /** This process is the service's main one from now on. */
  takeOver(): void;
  /** The watchdog's time begins anew. */
  alive(): void;
  /** Has a descriptor kept for the next process, until it is dropped, under a name. Keeping one twice is no harm. */
  keep(name: string, fd: number): void;
  /** Has all descriptors that are kept under a name closed. */
  drop(name: string): void;
}

/**
 * `send` is the addon's `sendDatagram`, `socket` the value of NOTIFY_SOCKET. A message that cannot be sent is lost:
 * `onError` hears of the first one in a row, the daemon goes on.
 */
export function createNotifier(
  send: (path: string, data: Uint8Array, fds: readonly number[]) => void,
  socket: string | null,
  onError: (error: Error) => void,
): Notifier {
  let heard = true;
  const notify = (lines: readonly string[], fds: readonly number[] = []) => {
    if (socket === null || socket === "") return;
    try {
      send(socket, Buffer.from(lines.join("\n")), fds);
      heard = true;
    } catch (error) {
      if (heard) onError(error as Error);
      heard = false;
    }
  };
  // A line feed would begin another assignment.
  const statusLine = (text: string) => `STATUS=${text.replaceAll("\n", " ")}`;
  return {
    ready: (status) => notify(["READY=1", statusLine(status)]),
    status: (text) => notify([statusLine(text)]),
    reloading: () => notify(["RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`]),
    stopping: () => notify(["STOPPING=1"]),
    takeOver: () => notify([`MAINPID=${process.pid}`]),
    alive: () => notify(["WATCHDOG=1"]),
    // FDPOLL: a UDP socket raises POLLERR after any ICMP error, and would be dropped for it.
    keep: (name, fd) => notify(["FDSTORE=1", `FDNAME=${name}`, "FDPOLL=0"], [fd]),
    drop: (name) => notify(["FDSTOREREMOVE=1", `FDNAME=${name}`]),
  };
}
