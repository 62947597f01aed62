/** H22. A rule of this host's own firewall drops what the daemon sends: each packet is counted, and soon after it is over. */
import { setTimeout as delay } from "node:timers/promises";
import { ports } from "../support/overlay.js";
import { defineFault } from "./fault.js";
import { harm, mustHappen, unexplained } from "./harm.js";

export const fault = defineFault({
  row: "H22",
  what: "one host's firewall drops the tunnel's datagrams on their way out for up to half a second",
  bounds: { unexplained: 0, blockedMsAfter: 250, duplicated: 0, corrupt: 0, reordered: 0 },
  inject: async (bench, chance) => {
    const { ns } = bench.nodes[0].host;
    let closedMs = 0;
    const accounts = await bench.traffic(async () => {
      const begin = performance.now();
      await ns.nft(`table inet closed {
        chain out { type filter hook output priority 0; udp dport ${ports[bench.options.format]} drop; }
      }`);
      await delay(chance.between(50, 500));
      await ns.nft("delete table inet closed");
      closedMs = performance.now() - begin;
      await delay(500);
    });
    const { lost, ...rest } = harm(accounts);
    mustHappen("loss", lost > 0);
    return {
      unexplained: unexplained(accounts),
      blockedMsAfter: Math.max(0, accounts[0].blockedMs - closedMs),
      ...rest,
    };
  },
});
