/** Why the dataplane could not be opened, in words an operator can act on. */
import { WeftError } from "../config/errors.js";
import type { OpenOptions } from "../native/bindings.js";

/** A WeftError for what `Native.open` throws; anything unknown keeps its own message. */
export function explainOpenError(error: NodeJS.ErrnoException, { tun, port }: OpenOptions): WeftError {
  const { code = "", syscall = "" } = error;
  return new WeftError(explain(code, syscall, tun, port) ?? error.message, undefined, { cause: error });
}

function explain(code: string, syscall: string, tun: string, port: number): string | null {
  if (syscall === "bind" && code === "EADDRINUSE") {
    return `UDP port ${port} is in use: another overlay daemon or a kernel VXLAN device has it; stop that one, or choose another port in the network config, on every node alike`;
  }
  if (syscall === "open /dev/net/tun") {
    return code === "ENOENT" || code === "ENODEV" || code === "ENXIO"
      ? "there is no /dev/net/tun: load the module (modprobe tun), or give the container the device"
      : `cannot open /dev/net/tun (${code}): run weftd as root, and allow the device in its sandbox`;
  }
  if (syscall === "ioctl TUNSETIFF") {
    if (code === "EPERM") return `cannot create ${tun}: weftd must be root or have CAP_NET_ADMIN`;
    if (code === "EBUSY")
      return `${tun} is in use by another process, perhaps another weftd; choose another name with --tun`;
    if (code === "EINVAL")
      return `${tun} exists and is no TUN device; delete it or choose another name with --tun`;
  }
  return null;
}
