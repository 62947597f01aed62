/** C2 and others, in any order: the random schedule of registry-schedule.ts, with its model as the judge. */
import { defineFault } from "./fault.js";
import { BOUND_MS, run } from "./registry-schedule.js";

export const fault = defineFault({
  row: "C2",
  what: "random faults between a node and etcd, and of etcd, for half a minute, while leases change",
  bounds: { slowestMs: BOUND_MS },
  inject: async (_bench, chance) => {
    const { slowestMs, problems } = await run({ seed: chance.seed, minutes: 0.5, log: () => undefined });
    if (problems.length > 0) throw new Error(problems.join("\n"));
    return { slowestMs };
  },
});
