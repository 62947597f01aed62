/** H3. A daemon wants more memory than its control group may have, and the kernel kills it. */
import { setTimeout as delay } from "node:timers/promises";
import { Cgroup } from "../support/cgroup.js";
import { defineFault } from "./fault.js";
import { harm, silenceMs } from "./harm.js";

const LIMIT_BYTES = 64 << 20;

export const fault = defineFault({
  row: "H3",
  what: "a daemon is killed because it is out of memory",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, pauseMs: 250 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const group = await Cgroup.create("memory", bench.bed.wire.onCleanup);
    try {
      const accounts = await bench.traffic(async () => {
        await delay(chance.between(100, 400));
        const { pid } = service;
        group.add(pid);
        group.limitMemory(LIMIT_BYTES);
        bench.troublemaker.cause(pid, "eat");
        await service.successor(pid);
      });
      return { ...harm(accounts), pauseMs: silenceMs(accounts) };
    } finally {
      await group.remove();
    }
  },
});
