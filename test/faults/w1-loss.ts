/** W1. A wire that loses datagrams loses packets, one each, and the daemons lose none beside. */
import { defineFault } from "./fault.js";
import { harm, total, unexplained, wireTotal } from "./harm.js";

export const fault = defineFault({
  row: "W1",
  what: "the wire loses 1, 10 or 50 % of all datagrams",
  bounds: { lostBeyondWire: 0, unexplained: 0, duplicated: 0, corrupt: 0, reordered: 0, tooFewLost: 0 },
  inject: async (bench, chance) => {
    const loss = chance.pick([0.01, 0.1, 0.5]);
    await bench.wire.impair({ loss });
    const accounts = await bench.traffic(() => Promise.resolve(), 1000);
    const lostByWire = wireTotal(await bench.wire.report(), "lost");
    const { lost, ...rest } = harm(accounts);
    return {
      lostBeyondWire: Math.max(0, lost - lostByWire),
      unexplained: unexplained(accounts),
      ...rest,
      // That there was a fault at all.
      tooFewLost: Math.max(0, (loss / 2) * total(accounts, "sent") - lostByWire),
    };
  },
});
