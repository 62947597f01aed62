/** H2, and the next daemon is killed while it takes over, at whatever step: the one that runs goes on. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../support/process.js";
import { defineFault } from "./fault.js";
import { harm, silenceMs } from "./harm.js";

/** Longer than a takeover lasts. */
const TAKEOVER_MS = 1000;

export const fault = defineFault({
  row: "H2",
  what: "a process that takes over from a daemon is ended by SIGKILL, anywhere on its way",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, pauseMs: 250 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const accounts = await bench.traffic(async () => {
      const successor = await service.succeed();
      const socket = join(service.weftd.directory, `handover-${successor}`);
      if (chance.next() < 0.5) {
        await delay(chance.between(0, TAKEOVER_MS));
      } else {
        // It removes its socket when it has the packets.
        await until("a socket", () => (existsSync(socket) ? true : null));
        while (existsSync(socket)) await delay(0);
        await delay(chance.between(0, 10));
      }
      process.kill(successor, "SIGKILL");
      const end = new RegExp(`^(ended|reloaded) ${successor} `);
      await until("its end", () => (service.lines(end).length > 0 ? true : null));
    });
    return { ...harm(accounts), pauseMs: silenceMs(accounts) };
  },
});
