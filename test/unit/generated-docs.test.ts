/** docs/faults.md and docs/scale.md are what is made of the results that they name: generated, never typed. */
import { readFileSync } from "node:fs";
import test from "ava";
import { markdown, type Results } from "../../bench/scale/results.js";
import { faultsPage } from "../../scripts/faults-report.js";

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

test("docs/faults.md is made of the findings that it names", (t) => {
  const page = read("docs/faults.md");
  const files = [...page.matchAll(/\(\.\.\/(bench\/results\/\S+\.jsonl)\)/g)].map(([, file = ""]) => file);
  t.is(page, faultsPage(files, read));
});

test("the figures of docs/scale.md are made of the results that it names", (t) => {
  const page = read("docs/scale.md");
  const [, file = "", figures] =
    /<!-- generated: .*--markdown (bench\/results\/\S+\.json) -->\n\n(.*?)\n\n<!-- end -->/s.exec(page) ?? [];
  t.is(figures, markdown(JSON.parse(read(file)) as Results));
});
