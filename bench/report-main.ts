/**
 * `npm run bench:report [-- FILE]`: writes docs/benchmarks.md and its plots from kept results, by default the latest
 * bench/results/bench-*.json.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./environment.js";
import { page, plots } from "./report.js";
import type { Results } from "./results.js";

function latest(): string {
  const kept = readdirSync(join(root, "bench/results")).filter((name) => /^bench-.*\.json$/.test(name));
  const last = kept.sort().at(-1);
  if (last === undefined) throw new Error("nothing measured yet: npm run bench");
  return `bench/results/${last}`;
}

const source = process.argv[2] ?? latest();
const results = JSON.parse(readFileSync(join(root, source), "utf8")) as Results;
const directory = join(root, "docs/benchmarks");
rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });
for (const [name, svg] of Object.entries(plots(results))) writeFileSync(join(directory, `${name}.svg`), svg);
writeFileSync(join(root, "docs/benchmarks.md"), page(results, source));
