/** W5. Datagrams whose end is missing, with outer headers that agree: counted and not forwarded, to the last one. */
import { defineFault } from "./fault.js";
import { harm, mustHappen, unexplained, wireTotal } from "./harm.js";

export const fault = defineFault({
  row: "W5",
  what: "the end of a tenth of the datagrams is cut off",
  bounds: { corrupt: 0, lostBeyondCut: 0, unexplained: 0, duplicated: 0, reordered: 0 },
  inject: async (bench) => {
    await bench.wire.impair({ truncate: 0.1 });
    const accounts = await bench.traffic();
    const cut = wireTotal(await bench.wire.report(), "truncated");
    mustHappen("truncation", cut > 10);
    const { lost, ...rest } = harm(accounts);
    return {
      ...rest,
      lostBeyondCut: Math.max(0, lost - cut),
      unexplained: unexplained(accounts),
    };
  },
});
