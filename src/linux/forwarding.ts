/** Whether the kernel forwards between pods and the TUN. weft never turns it on: that is the host's policy. */
import { readFileSync } from "node:fs";
import type { Family } from "../net/ip.js";

const SYSCTLS: Readonly<Record<Family, string>> = {
  4: "net.ipv4.ip_forward",
  6: "net.ipv6.conf.all.forwarding",
};

/** One sentence per family whose forwarding is off; empty when pods can be reached. */
export function forwardingProblems(families: readonly Family[]): string[] {
  return families
    .filter((family) => !isOn(SYSCTLS[family]))
    .map(
      (family) =>
        `the host does not forward IPv${family}: pods are cut off until sysctl ${SYSCTLS[family]}=1`,
    );
}

function isOn(sysctl: string): boolean {
  try {
    return readFileSync(`/proc/sys/${sysctl.replaceAll(".", "/")}`, "utf8").trim() !== "0";
  } catch (error) {
    // A kernel without the family has no such file, and forwards nothing. What cannot be read now is as it was.
    return (error as NodeJS.ErrnoException).code !== "ENOENT";
  }
}
