/** H4. A daemon ends as an access to no memory in native code ends it. */
import { setTimeout as delay } from "node:timers/promises";
import { defineFault } from "./fault.js";
import { harm, silenceMs } from "./harm.js";

export const fault = defineFault({
  row: "H4",
  what: "a daemon is ended by SIGSEGV",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, pauseMs: 250 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const accounts = await bench.traffic(async () => {
      await delay(chance.between(100, 400));
      await service.kill("SIGSEGV");
    });
    return { ...harm(accounts), pauseMs: silenceMs(accounts) };
  },
});
