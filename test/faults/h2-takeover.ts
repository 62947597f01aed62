/** H2, without a gap: the next daemon takes over from the one that runs, as for an upgrade. */
import { setTimeout as delay } from "node:timers/promises";
import { defineFault } from "./fault.js";
import { harm, mustHappen, silenceMs } from "./harm.js";

export const fault = defineFault({
  row: "H2",
  what: "another process takes over from a daemon (systemctl reload)",
  // The receiver's silence is also the machine's, on which three processes of Node begin and end meanwhile.
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, takeoverMs: 20, silenceMs: 150 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    let code = -1;
    const accounts = await bench.traffic(async () => {
      await delay(chance.between(100, 400));
      code = await service.reload();
    });
    mustHappen("takeover", code === 0);
    const told = service.weftd.log().findLast(({ pauseUs }) => pauseUs !== undefined);
    return {
      ...harm(accounts),
      takeoverMs: Number(told?.["pauseUs"]) / 1000,
      silenceMs: silenceMs(accounts),
    };
  },
});
