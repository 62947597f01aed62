/**
 * H19. A daemon may open no file any more: no connection, no netlink socket, no file. Packets flow as before; what has to
 * be asked or written waits, and is done once there are descriptors again. The event loop does not spin on it.
 */
import { readdir } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { run, statFields } from "../support/process.js";
import { took } from "./bench.js";
import { defineFault } from "./fault.js";
import { harm, mustHappen, silenceMs } from "./harm.js";

const WITHOUT_MS = 3000;
/** As the unit has it. */
const LIMIT = 4096;

export const fault = defineFault({
  row: "H19",
  what: "a daemon has no file descriptor left for three seconds, and its registry ends meanwhile",
  registry: "etcd",
  bounds: {
    lost: 0,
    duplicated: 0,
    corrupt: 0,
    reordered: 0,
    silenceMs: 250,
    loopPercent: 30,
    msUntilReady: 6000,
  },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const { pid } = service;
    const limit = async (most: number): Promise<void> => {
      await run("prlimit", [`--pid=${pid}`, `--nofile=${most}:${LIMIT}`]);
    };
    const clients: Socket[] = [];
    let loopPercent = NaN;
    const accounts = await bench.traffic(async () => {
      const numbers = (await readdir(`/proc/${pid}/fd`)).map(Number);
      await limit(Math.max(...numbers) + 1);
      try {
        await bench.etcd?.stop();
        // Idle clients take the numbers that are free below the highest one.
        await took("want of descriptors", async () => {
          const client = createConnection(join(service.weftd.directory, "weft.sock"));
          clients.push(client.on("error", () => undefined));
          return (await service.weftd.ask("/status").catch(() => null)) === null;
        });
        const before = loopMs(pid);
        await delay(WITHOUT_MS);
        loopPercent = (loopMs(pid) - before) / (WITHOUT_MS / 100);
      } finally {
        for (const client of clients) client.destroy();
        await limit(LIMIT);
      }
      await bench.etcd?.start();
    });
    mustHappen("survival", service.pid === pid);
    const msUntilReady = await took("a registry that answers", async () => {
      const { health, registry } = await service.weftd.ask("/status");
      return health.state === "ready" && registry.connected;
    });
    return { ...harm(accounts), silenceMs: silenceMs(accounts), loopPercent, msUntilReady };
  },
});

/** Processor time of the thread that has the event loop. */
function loopMs(pid: number): number {
  const stat = statFields(`/proc/${pid}/task/${pid}/stat`);
  // In hundredths of a second.
  return (Number(stat[14]) + Number(stat[15])) * 10;
}
