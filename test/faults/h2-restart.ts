/** H2. A daemon is stopped in good order, and the next one started. */
import { setTimeout as delay } from "node:timers/promises";
import { defineFault } from "./fault.js";
import { harm, silenceMs } from "./harm.js";

export const fault = defineFault({
  row: "H2",
  what: "a service is stopped and started (systemctl restart)",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, pauseMs: 250 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const accounts = await bench.traffic(async () => {
      await delay(chance.between(100, 400));
      await service.restart();
    });
    return { ...harm(accounts), pauseMs: silenceMs(accounts) };
  },
});
