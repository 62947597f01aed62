/**
 * Every case of the corpus (test/corpus) against a live daemon, in each lab it is for.
 *
 *     host2: peer ── host3: other peer ── host4: stranger ── wire ── host1: weftd
 */
import test from "ava";
import load from "../../src/native/load.cjs";
import { ALL, type Lab } from "../corpus/case.js";
import { CorpusLab } from "../corpus/lab.js";
import { provoked, rxCases, txCases, unprovoked } from "../corpus/table.js";
import { mustBalance } from "../support/weftd.js";

/** What went wrong, by the names of the cases; a case that cannot be carried out is wrong too. */
async function runAll<Case extends { readonly name: string; readonly labs: readonly Lab[] }>(
  lab: Lab,
  cases: readonly Case[],
  run: (each: Case) => Promise<string[]>,
): Promise<string[]> {
  const wrong: string[] = [];
  for (const each of cases.filter(({ labs }) => labs.includes(lab))) {
    const problems = await run(each).catch((error: unknown) => [String(error)]);
    wrong.push(...problems.map((problem) => `${each.name}: ${problem}`));
  }
  return wrong;
}

test("each drop reason has three cases or more, in each direction in which it can be provoked", (t) => {
  const reasons = load
    .loadNative()
    .capabilities()
    .counters.filter(({ kind }) => kind === "drop")
    .map(({ direction, name }) => `${direction} ${name}`);
  const cases = provoked();
  t.deepEqual(
    [...cases.keys()].filter((reason) => !reasons.includes(reason)),
    [],
  );
  const few = reasons.filter((reason) => (cases.get(reason) ?? 0) < 3);
  t.deepEqual(few.sort(), [...unprovoked.keys()].sort());
});

test("there are three hundred cases or more, each with a name of its own", (t) => {
  const names = [...rxCases.map(({ name }) => `rx ${name}`), ...txCases.map(({ name }) => `tx ${name}`)];
  t.deepEqual(
    names.filter((name, at) => names.indexOf(name) < at),
    [],
  );
  t.true(names.length >= 300);
});

for (const lab of ALL) {
  test.serial(`${lab.name}: every case has its outcome`, async (t) => {
    const live = await CorpusLab.start(t.teardown, lab);
    t.deepEqual(await runAll(lab, rxCases, (each) => live.rx(each)), []);
    t.deepEqual(await runAll(lab, txCases, (each) => live.tx(each)), []);
    await mustBalance(live.weftd);
  });
}
