/**
 * H2, and meanwhile some process of the service is killed: the daemon that runs, the next one, the command that waits
 * for it, or all. One goes on, or is started again at once: systemd itself waits for the command.
 */
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../support/process.js";
import { defineFault } from "./fault.js";
import { harm, silenceMs } from "./harm.js";

/** Longer than a takeover lasts. */
const TAKEOVER_MS = 1000;

export const fault = defineFault({
  row: "H2",
  what: "while another process takes over from a daemon, one or all of the service's are ended by SIGKILL",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, pauseMs: 500 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const accounts = await bench.traffic(async () => {
      const { pid } = service;
      const command = await service.beginReload();
      await delay(chance.between(0, TAKEOVER_MS));
      const next = await service.takingOver();
      const victims = chance.pick([[pid], [command], next, [pid, command, ...next]]);
      for (const victim of victims) killIfThere(victim);
      await service.ended(command);
      await until("a daemon that carries packets", async () => {
        const status = await service.weftd.ask("/status").catch(() => null);
        return status?.pid === service.pid && status.health.state !== "starting" ? true : null;
      });
    });
    return { ...harm(accounts), pauseMs: silenceMs(accounts) };
  },
});

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
