/** H1. A daemon is killed: the kernel keeps what arrives until the next one reads it. */
import { setTimeout as delay } from "node:timers/promises";
import { defineFault } from "./fault.js";
import { harm, silenceMs } from "./harm.js";

export const fault = defineFault({
  row: "H1",
  what: "a daemon is ended by SIGKILL",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, pauseMs: 250 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const accounts = await bench.traffic(async () => {
      await delay(chance.between(100, 400));
      await service.kill("SIGKILL");
    });
    return { ...harm(accounts), pauseMs: silenceMs(accounts) };
  },
});
