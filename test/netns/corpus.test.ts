/**
 * Every case of the corpus (test/corpus) against a live daemon, in each lab it is for.
 *
 *     host2: peer ── host3: other peer ── host4: stranger ── wire ── host1: weftd
 */
import test from "ava";
import { ALL } from "../corpus/case.js";
import { CorpusLab } from "../corpus/lab.js";
import { rxCases, txCases } from "../corpus/table.js";
import { mustBalance } from "../support/weftd.js";

for (const lab of ALL) {
  test.serial(`${lab.name}: every case has its outcome`, async (t) => {
    const live = await CorpusLab.start(t.teardown, lab);
    const wrong: string[] = [];
    const note = (name: string, problems: readonly string[]): void => {
      wrong.push(...problems.map((problem) => `${name}: ${problem}`));
    };
    for (const each of rxCases.filter(({ labs }) => labs.includes(lab)))
      note(`rx ${each.name}`, await live.rx(each));
    for (const each of txCases.filter(({ labs }) => labs.includes(lab)))
      note(`tx ${each.name}`, await live.tx(each));
    t.deepEqual(wrong, []);
    await mustBalance(live.weftd);
  });
}
