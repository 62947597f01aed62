/**
 * H2, and the daemon that runs hangs meanwhile, as a whole or only its event loop: it is replaced, or goes on once it can,
 * and every packet arrives.
 */
import { setTimeout as delay } from "node:timers/promises";
import { defineFault } from "./fault.js";
import { harm } from "./harm.js";

/** So many packets a second, for so long, fit into the queue of a TUN. */
const PER_SECOND = 5000;
const MOST_MS = 2500;

export const fault = defineFault({
  row: "H2",
  what: "a daemon stops for up to 2.5 s (SIGSTOP), or its event loop does, while another takes over",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const { pid } = service;
    const accounts = await bench.traffic(
      async () => {
        const reload = service.reload();
        await delay(chance.between(0, 1000));
        const ms = Math.round(chance.between(50, MOST_MS));
        const stop = chance.next() < 0.5;
        if (service.pid === pid) {
          if (stop) process.kill(pid, "SIGSTOP");
          else bench.troublemaker.cause(pid, `block ${ms}`);
        }
        await delay(ms);
        const gone = service.lines(new RegExp(`^(ended|reloaded) ${pid} `)).length > 0;
        if (stop && !gone) process.kill(pid, "SIGCONT");
        await reload;
      },
      { perSecond: Math.min(PER_SECOND, bench.options.perSecond) },
    );
    return harm(accounts);
  },
});
