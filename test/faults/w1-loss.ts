/** W1. A wire that loses datagrams loses packets, one each, and the daemons lose none beside. */
import { defineFault } from "./fault.js";
import { harm, mustHappen, total, unexplained, wireTotal } from "./harm.js";

export const fault = defineFault({
  row: "W1",
  what: "the wire loses 1, 10 or 50 % of all datagrams",
  bounds: { lostBeyondWire: 0, unexplained: 0, duplicated: 0, corrupt: 0, reordered: 0 },
  inject: async (bench, chance) => {
    const loss = chance.pick([0.01, 0.1, 0.5]);
    await bench.wire.impair({ loss });
    const accounts = await bench.traffic();
    const lostByWire = wireTotal(await bench.wire.report(), "lost");
    mustHappen("loss", lostByWire > (loss / 2) * total(accounts, "sent"));
    const { lost, ...rest } = harm(accounts);
    return {
      lostBeyondWire: Math.max(0, lost - lostByWire),
      unexplained: unexplained(accounts),
      ...rest,
    };
  },
});
