/** C2. etcd ends and comes back: traffic goes on as before, and the daemons are in touch with it again soon. */
import { setTimeout as delay } from "node:timers/promises";
import { took } from "./bench.js";
import { defineFault } from "./fault.js";
import { harm } from "./harm.js";

export const fault = defineFault({
  row: "C2",
  what: "etcd is gone for up to three seconds",
  registry: "etcd",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, msUntilResumed: 5000 },
  inject: async (bench, chance) => {
    const { etcd, nodes } = bench;
    if (etcd === null) throw new Error("the bench has no etcd");
    const connected = async (): Promise<boolean> =>
      (await Promise.all(nodes.map(({ weftd }) => weftd.ask("/status")))).every(
        ({ registry }) => registry.connected,
      );
    let msUntilResumed = NaN;
    const accounts = await bench.traffic(async () => {
      await etcd.stop();
      await took("the daemons miss etcd", async () => !(await connected()));
      await delay(chance.between(0, 3000));
      await etcd.start();
      msUntilResumed = await took("the daemons are in touch with etcd", connected);
    });
    return { ...harm(accounts), msUntilResumed };
  },
});
