/**
 * W4. Bits that flip on the wire: the kernels' checksums find the ones that come with a checksum, the inner checks the
 * others. Nothing arrives that was not sent, and no packet is lost that was not damaged.
 */
import { defineFault } from "./fault.js";
import { harm, mustHappen, unexplained, wireTotal } from "./harm.js";

export const fault = defineFault({
  row: "W4",
  what: "a bit flips in a tenth of the datagrams, half of them without a UDP checksum that would tell",
  bounds: { corrupt: 0, lostBeyondDamaged: 0, unexplained: 0, duplicated: 0, reordered: 0 },
  inject: async (bench) => {
    await bench.wire.impair({ flip: 0.05, spoil: 0.05 });
    const accounts = await bench.traffic();
    const damaged = wireTotal(await bench.wire.report(), "flipped", "spoiled");
    mustHappen("damage", damaged > 10);
    const { lost, ...rest } = harm(accounts);
    return {
      ...rest,
      lostBeyondDamaged: Math.max(0, lost - damaged),
      unexplained: unexplained(accounts),
    };
  },
});
