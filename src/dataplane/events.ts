/**
 * What a worker noticed, as a line of the log. A drop is told with the sentence that the table of counters has for its
 * reason and, where the strict rules can be relaxed, with the setting that does it.
 */
import type { Logger } from "pino";
import type { DataplaneEvent } from "../native/bindings.js";
import type { Dataplane } from "./engine.js";

/** The settings that admit what is dropped under a reason; every one of them is explained in docs/operations.md. */
export const ADVICE: Readonly<Record<string, string>> = {
  unknown_peer:
    "If this is a peer behind NAT or its second address, --peer-alias=<this address>=<its public address> admits it",
  spoofed:
    "If clients outside of the overlay come through this peer unmasqueraded, --accept-external admits them",
  bad_mac: "If this peer bridges its VXLAN device, --accept-bridged admits what is behind the bridge",
  bad_vxlan:
    "If this peer uses VXLAN extensions, GBP in the network config admits that one, --lenient-vxlan all",
};

/** What of the dataplane a line may name. */
type Names = Pick<Dataplane, "tun" | "nodeAt" | "describeDrop">;

/** Logs an event. Returns why the daemon cannot go on, as a sentence; null when it can. */
export function logEvent(event: DataplaneEvent, names: Names, log: Logger): string | null {
  const { kind, code, address, detail, value } = event;
  const peer = address === null ? null : names.nodeAt(address);
  const who = { ...(peer !== null && { peer }), endpoint: address };
  switch (kind) {
    case "peer-error":
      log.warn({ ...who, reason: code }, "a peer cannot be reached");
      return null;
    case "peer-drop":
      log.warn(
        { ...who, reason: detail },
        `packets from a ${peer === null ? "stranger" : "peer"} are dropped: ${explainDrop(detail ?? "", names)}`,
      );
      return null;
    case "path-mtu":
      log.info({ ...who, mtu: value }, "path MTU to a peer learned");
      return null;
    case "offload-off":
      log.warn({ reason: code }, `the kernel's ${detail ?? ""} offload is broken here and not used any more`);
      return null;
    case "taken-over":
      log.info({ pauseUs: value }, "packets go on here");
      return null;
    case "tun-gone":
      return `the TUN device ${names.tun} is gone (${code ?? ""})`;
    case "worker-failed":
      return `a worker failed (${code ?? ""})`;
  }
}

/** What the reason means, and what can be done. */
function explainDrop(reason: string, names: Names): string {
  const sentence = names.describeDrop(reason) ?? reason;
  const advice = ADVICE[reason];
  return advice === undefined ? sentence : `${sentence}. ${advice}`;
}
