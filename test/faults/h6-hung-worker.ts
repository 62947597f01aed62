/**
 * H6. A worker hangs while the event loop goes on: the daemon stops to feed its watchdog, and is replaced. What does
 * not fit into the queues until then is lost; what is lost is counted.
 */
import { setTimeout as delay } from "node:timers/promises";
import { compile } from "../support/compile.js";
import { workerOf } from "../support/process.js";
import { took } from "./bench.js";
import { defineFault } from "./fault.js";
import { harm } from "./harm.js";

/** Little enough for the queue of a TUN (2000 packets) to be full before the end, and not at once. */
const PER_SECOND = 500;

export const fault = defineFault({
  row: "H6",
  what: "a worker hangs",
  bounds: { msUntilReplaced: 10_000, duplicated: 0, corrupt: 0, reordered: 0 },
  inject: async (bench, chance) => {
    const { service, host } = chance.pick(bench.nodes);
    const { onCleanup } = bench.bed.wire;
    const hold = await compile("hold-thread", onCleanup);
    const { pid } = service;
    let msUntilReplaced = NaN;
    const accounts = await bench.traffic(
      async () => {
        await delay(200);
        const holder = host.ns.start(hold, [String(workerOf(pid).tid)]);
        await holder.line(/^held$/);
        msUntilReplaced = await took("another daemon", async () => {
          const status = await service.weftd.ask("/status").catch(() => null);
          return status?.health.state === "ready" && status.pid !== pid;
        });
        await holder.stop("SIGKILL");
      },
      { perSecond: PER_SECOND },
    );
    const { duplicated, corrupt, reordered } = harm(accounts);
    return { msUntilReplaced, duplicated, corrupt, reordered };
  },
});
