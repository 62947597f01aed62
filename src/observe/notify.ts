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
}

/**
 * `send` is the addon's `sendDatagram`, `socket` the value of NOTIFY_SOCKET. A message that cannot be sent is lost:
 * `onError` hears of it, the daemon goes on.
 */
export function createNotifier(
  send: (path: string, data: Uint8Array) => void,
  socket: string | null,
  onError: (error: Error) => void,
): Notifier {
  const notify = (...lines: string[]) => {
    if (socket === null || socket === "") return;
    try {
      send(socket, Buffer.from(lines.join("\n")));
    } catch (error) {
      onError(error as Error);
    }
  };
  // A line feed would begin another assignment.
  const statusLine = (text: string) => `STATUS=${text.replaceAll("\n", " ")}`;
  return {
    ready: (status) => notify("READY=1", statusLine(status)),
    status: (text) => notify(statusLine(text)),
    reloading: () => notify("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`),
    stopping: () => notify("STOPPING=1"),
  };
}
