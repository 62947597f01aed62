/** The figures in decision 0001 are those of a run whose samples are kept: generated, never typed. */
import { readFileSync } from "node:fs";
import test from "ava";
import { markdown, type Results } from "../../bench/loop/results.js";

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

test("the tables of docs/adr/0001 are made of the samples they name", (t) => {
  const page = read("docs/adr/0001-packet-loop-in-c.md");
  const [, file = "", tables] =
    /<!-- generated: .*--markdown (bench\/results\/\S+\.json) -->\n\n(.*?)\n\n<!-- end -->/s.exec(page) ?? [];
  t.is(tables, markdown(JSON.parse(read(file)) as Results));
});
