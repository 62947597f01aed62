/** H29. Both daemons get a tenth of a processor, in slices: what they cannot carry is counted, and they stay in touch. */
import { setTimeout as delay } from "node:timers/promises";
import { Cgroup } from "../support/cgroup.js";
import { defineFault } from "./fault.js";
import { harm, unexplained } from "./harm.js";

/** Long enough for the watchdog to notice a daemon that says nothing. */
const LONGER_THAN_WATCHDOG_MS = 7000;

/** So many packets a second each way fit into a tenth of a processor, and 90 ms of them into the queues. */
const PER_SECOND = 2000;

export const fault = defineFault({
  row: "H29",
  what: "each daemon gets 10 ms of a processor in every 100 ms, for seven seconds",
  bounds: { killed: 0, lost: 0, unexplained: 0, duplicated: 0, corrupt: 0, reordered: 0 },
  inject: async (bench) => {
    const kills = (): number =>
      bench.nodes.reduce((sum, { service }) => sum + service.lines(/^watchdog$/).length, 0);
    const before = kills();
    const groups: Cgroup[] = [];
    try {
      for (const { service } of bench.nodes) {
        const group = await Cgroup.create("cpu", bench.bed.wire.onCleanup);
        groups.push(group);
        group.limitCpu(0.1);
        group.add(service.pid);
      }
      const accounts = await bench.traffic(() => delay(LONGER_THAN_WATCHDOG_MS), { perSecond: PER_SECOND });
      return { ...harm(accounts), unexplained: unexplained(accounts), killed: kills() - before };
    } finally {
      for (const group of groups) await group.remove();
    }
  },
});
