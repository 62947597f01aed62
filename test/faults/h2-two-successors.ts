/** H2, twice at once: two processes are to take over at the same time. One does, and the other one ends. */
import { setTimeout as delay } from "node:timers/promises";
import { took } from "./bench.js";
import { defineFault } from "./fault.js";
import { harm, mustHappen, silenceMs } from "./harm.js";

export const fault = defineFault({
  row: "H2",
  what: "two processes take over from a daemon at once",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, pauseMs: 250 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const { pid } = service;
    const accounts = await bench.traffic(async () => {
      const one = await service.succeed();
      await delay(chance.between(0, 200));
      const other = await service.succeed();
      await took("the end of all but one", async () => {
        const ended = [pid, one, other].filter(
          (each) => service.lines(new RegExp(`^(ended|reloaded) ${each} `)).length > 0,
        );
        return Promise.resolve(ended.length === 2);
      });
    });
    mustHappen("takeover", service.pid !== pid);
    return { ...harm(accounts), pauseMs: silenceMs(accounts) };
  },
});
