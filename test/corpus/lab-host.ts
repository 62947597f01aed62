/** The host whose daemon the corpus is about: its kernel kept quiet, and nodes that it cannot reach. */
import type { Namespace } from "../support/netns.js";
import { run } from "../support/process.js";
import { type Lab, mac, underlayAddress, type Who } from "./case.js";

const QUIET = `
table inet quiet {
  chain from { type filter hook prerouting priority -300; iifname "weft0" drop; }
  chain to { type filter hook postrouting priority -300; oifname "weft0" drop; }
}`;

/** Nothing passes between the kernel's own IP and weft0 any more; taps still see and send everything. */
export async function keepQuiet(ns: Namespace): Promise<void> {
  await ns.nft(QUIET);
}

/** Lets sending to some nodes fail, each in a way of its own. */
export async function addObstacles(ns: Namespace, lab: Lab): Promise<void> {
  const to = (who: Who): string => `${underlayAddress(who, lab)}/${lab.underlay === "ipv4" ? 32 : 128}`;
  await ns.ip(
    `route add unreachable ${to("unreachable")}`,
    `route add prohibit ${to("prohibited")}`,
    `route add ${to("narrow")} dev eth0 mtu lock ${lab.underlay === "ipv4" ? 1000 : 1300}`,
    `neigh add ${underlayAddress("narrow", lab)} lladdr ${mac("narrow")} dev eth0 nud permanent`,
    "link add choked type veth peer name choked-end",
    "link set choked up",
    "link set choked-end up",
    `route add ${to("choked")} dev choked`,
    `neigh add ${underlayAddress("choked", lab)} lladdr ${mac("choked")} dev choked nud permanent`,
  );
  // A queue that takes nothing: its bucket is smaller than any packet.
  const tbf = "qdisc add dev choked root tbf rate 1kbit burst 16 limit 16".split(" ");
  await run("tc", ["-n", ns.name, ...tbf]);
}
