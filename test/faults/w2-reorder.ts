/** W2. Packets that the wire puts out of order arrive in the order in which they came from the wire. */
import { defineFault } from "./fault.js";
import { harm, mustHappen, unexplained, wireTotal } from "./harm.js";

export const fault = defineFault({
  row: "W2",
  what: "the wire holds a tenth of the datagrams back behind up to 20 later ones",
  bounds: { reorderedBeyondWire: 0, lost: 0, unexplained: 0, duplicated: 0, corrupt: 0 },
  inject: async (bench, chance) => {
    await bench.wire.impair({ reorder: 0.1, distance: Math.ceil(chance.between(2, 20)) });
    const accounts = await bench.traffic();
    const byWire = wireTotal(await bench.wire.report(), "reordered");
    mustHappen("reordering", byWire > 10);
    const { reordered, ...rest } = harm(accounts);
    return {
      reorderedBeyondWire: Math.max(0, reordered - byWire),
      unexplained: unexplained(accounts),
      ...rest,
    };
  },
});
