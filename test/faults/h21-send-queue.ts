/**
 * H21. The underlay takes less than the pods send: what does not fit is counted, and the rest arrives in order. The
 * queue is one that takes a run of datagrams whole or not at all: of the part of a run, the kernel tells nobody.
 */
import { setTimeout as delay } from "node:timers/promises";
import { defineFault } from "./fault.js";
import { harm, mustHappen, unexplained } from "./harm.js";

export const fault = defineFault({
  row: "H21",
  what: "one host's underlay is limited to a fraction of what its pods send (tbf)",
  bounds: { unexplained: 0, duplicated: 0, corrupt: 0, reordered: 0 },
  inject: async (bench, chance) => {
    const { ns } = bench.nodes[0].host;
    // Ethernet, IP, UDP and VXLAN around packets of 128 bytes.
    const bitsOffered = bench.options.perSecond * 192 * 8;
    const kilobits = Math.round((bitsOffered * chance.between(0.1, 0.6)) / 1000);
    const limit = ["rate", `${kilobits}kbit`, "burst", "32kb", "limit", "48kb"];
    await ns.run("tc", ["qdisc", "add", "dev", "eth0", "root", "tbf", ...limit]);
    const accounts = await bench.traffic(() => delay(1000));
    await ns.run("tc", ["qdisc", "del", "dev", "eth0", "root"]);
    const { lost, ...rest } = harm(accounts);
    mustHappen("loss", lost > 0);
    return { unexplained: unexplained(accounts), ...rest };
  },
});
