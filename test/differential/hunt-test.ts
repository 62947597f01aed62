/** What must hold in either format: 200 000 packets without a difference, and every case among them. */
import test from "ava";
import type { Format } from "../support/model/tx.js";
import { buildCore, Core } from "./core.js";
import { accepted, hunt, possibleDrops } from "./hunt.js";
import { scenarios } from "./scenarios.js";

const PACKETS = 200_000;
const SEED = 1;

export function testHunt(format: Format): void {
  test(`${format}: core and model do the same with ${PACKETS} packets`, async (t) => {
    t.timeout(600_000);
    const program = await buildCore();
    const found = await hunt(() => Core.start(program, t.teardown), scenarios(format), PACKETS, SEED);
    const share = accepted(found);
    t.log(`seed ${SEED}: ${found.packets} packets, ${(share * 100).toFixed(1)} % accepted`);
    if (found.difference !== null) t.fail(found.difference);
    t.true(share >= 0.3);
    const rare = possibleDrops(format).filter((name) => (found.counters.get(name) ?? 0) < 100);
    t.deepEqual(rare, [], "drops met fewer than 100 times");
  });
}
