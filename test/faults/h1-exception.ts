/** H1, by its own hand: an exception that nobody catches ends a daemon. */
import { setTimeout as delay } from "node:timers/promises";
import { defineFault } from "./fault.js";
import { harm, silenceMs } from "./harm.js";

export const fault = defineFault({
  row: "H1",
  what: "a daemon ends by an uncaught exception",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, pauseMs: 250 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const accounts = await bench.traffic(async () => {
      await delay(chance.between(100, 400));
      const { pid } = service;
      bench.troublemaker.cause(pid, "throw");
      await service.successor(pid);
    });
    return { ...harm(accounts), pauseMs: silenceMs(accounts) };
  },
});
