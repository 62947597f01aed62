/**
 * H13. The underlay's carrier goes and comes: traffic is back within a second, and the log stays short. That second is
 * the kernel's, which asks once a second who the neighbour is; it keeps packets meanwhile and lets later ones overtake
 * them, so order is not looked at. Nor is who lost what: without a carrier the kernel drops and says that it sent.
 */
import { setTimeout as delay } from "node:timers/promises";
import { defineFault } from "./fault.js";
import { harm, mustHappen } from "./harm.js";

export const fault = defineFault({
  row: "H13",
  what: "the underlay of one host loses its carrier for up to a second",
  bounds: { blockedMsAfterCarrier: 1100, duplicated: 0, corrupt: 0, logLines: 20 },
  inject: async (bench, chance) => {
    const lines = (): number => bench.nodes.reduce((sum, { weftd }) => sum + weftd.program.stdout.length, 0);
    const before = lines();
    let downMs = 0;
    const accounts = await bench.traffic(async () => {
      await delay(200);
      const begin = performance.now();
      await bench.wire.plug("down");
      await delay(chance.between(100, 1000));
      await bench.wire.plug("up");
      downMs = performance.now() - begin;
      await delay(1200);
    });
    const { lost, duplicated, corrupt } = harm(accounts);
    mustHappen("a gap", lost > 0);
    return {
      blockedMsAfterCarrier: Math.max(0, ...accounts.map(({ blockedMs }) => blockedMs - downMs)),
      duplicated,
      corrupt,
      logLines: lines() - before,
    };
  },
});
