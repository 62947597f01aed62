/** H5. The event loops of both daemons stand still for two seconds: no packet notices. */
import { until } from "../support/process.js";
import { defineFault } from "./fault.js";
import { harm, silenceMs } from "./harm.js";

export const fault = defineFault({
  row: "H5",
  what: "the event loops of both daemons are blocked for 2 s",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, silenceMs: 250 },
  inject: async (bench) => {
    const released = (): number =>
      bench.nodes.reduce((sum, { service }) => sum + service.lines(/^loop released$/).length, 0);
    const before = released();
    const accounts = await bench.traffic(async () => {
      for (const { service } of bench.nodes) bench.troublemaker.cause(service.pid, "block 2000");
      await until("both loops go on", () => (released() === before + 2 ? true : null));
    });
    return { ...harm(accounts), silenceMs: silenceMs(accounts) };
  },
});
