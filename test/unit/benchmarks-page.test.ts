/** docs/benchmarks.md and its plots are made of the results that the page names: generated, never typed. */
import { readdirSync, readFileSync } from "node:fs";
import test from "ava";
import { page, plots } from "../../bench/report.js";
import type { Results } from "../../bench/results.js";

const path = (name: string): URL => new URL(`../../../${name}`, import.meta.url);
const read = (name: string): string => readFileSync(path(name), "utf8");

test("docs/benchmarks.md is what the report makes of the kept results", (t) => {
  const text = read("docs/benchmarks.md");
  const [, source = ""] = /`npm run bench:report -- (bench\/results\/\S+\.json)`/.exec(text) ?? [];
  const results = JSON.parse(read(source)) as Results;
  t.is(text, page(results, source));
  const drawn = plots(results);
  t.deepEqual(
    readdirSync(path("docs/benchmarks")).sort(),
    Object.keys(drawn)
      .map((name) => `${name}.svg`)
      .sort(),
  );
  for (const [name, svg] of Object.entries(drawn)) t.is(read(`docs/benchmarks/${name}.svg`), svg);
});
