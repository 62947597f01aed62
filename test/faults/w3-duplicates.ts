/** W3. Formats without sequence numbers carry a duplicate as they carry a packet: none is added, none is lost. */
import { defineFault } from "./fault.js";
import { harm, mustHappen, unexplained, wireTotal } from "./harm.js";

export const fault = defineFault({
  row: "W3",
  what: "the wire doubles a fifth of the datagrams",
  bounds: { duplicatedBeyondWire: 0, lost: 0, unexplained: 0, corrupt: 0, reordered: 0 },
  inject: async (bench) => {
    await bench.wire.impair({ duplicate: 0.2 });
    const accounts = await bench.traffic();
    const byWire = wireTotal(await bench.wire.report(), "duplicated");
    mustHappen("duplicates", byWire > 10);
    const { duplicated, ...rest } = harm(accounts);
    return {
      duplicatedBeyondWire: Math.max(0, duplicated - byWire),
      unexplained: unexplained(accounts),
      ...rest,
    };
  },
});
