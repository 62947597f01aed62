/**
 * The program that `link.test.ts` runs inside a namespace: does what the JSON in its argument says to the namespace's
 * devices, and prints the result, or the error, as JSON.
 */
import { forwardingProblems } from "../../src/linux/forwarding.js";
import { configureTun } from "../../src/linux/link.js";
import { Netlink } from "../../src/linux/netlink.js";
import { type UnderlayOptions, chooseUnderlay } from "../../src/linux/underlay.js";
import load from "../../src/native/load.cjs";
import { ip, prefix } from "../support/addresses.js";

/** Addresses and prefixes are text here. */
export type Task =
  | {
      readonly do: "configure-tun";
      readonly tun: string;
      readonly mtu: number;
      readonly addresses: readonly string[];
      readonly networks: readonly string[];
    }
  | {
      readonly do: "choose-underlay";
      readonly iface?: readonly string[];
      readonly canReach?: string;
    }
  | { readonly do: "forwarding-problems" };

function carryOut(task: Task, netlink: Netlink): unknown {
  if (task.do === "forwarding-problems") return forwardingProblems([4, 6]);
  if (task.do === "choose-underlay") {
    const options: UnderlayOptions = {
      iface: task.iface ?? [],
      ifaceRegex: [],
      ifaceCanReach: task.canReach === undefined ? null : ip(task.canReach),
      publicIp: null,
      publicIpv6: null,
      tun: "weft0",
    };
    const { name, mtu, address4, address6 } = chooseUnderlay(netlink, options);
    return { name, mtu, address4: address4?.text ?? null, address6: address6?.text ?? null };
  }
  configureTun(netlink, {
    ifindex: netlink.links().find(({ name }) => name === task.tun)?.ifindex ?? 0,
    mtu: task.mtu,
    addresses: task.addresses.map(prefix),
    networks: task.networks.map(prefix),
  });
  return null;
}

try {
  const result = carryOut(JSON.parse(process.argv[2] ?? "") as Task, new Netlink(load.loadNative()));
  console.log(JSON.stringify({ result, error: null }));
} catch (error) {
  console.log(
    JSON.stringify({ result: null, error: error instanceof Error ? `${error.name}: ${error.message}` : "" }),
  );
}
