/**
 * `npm run bench`, as root: measures ways to carry packets between pods side by side, prints a summary and keeps the
 * samples in bench/results/. `npm run bench -- --help` lists its options.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { HELP, parseArguments, UsageError } from "./arguments.js";
import { root } from "./environment.js";
import { measure } from "./measure.js";
import { Progress } from "./progress.js";
import { tables } from "./report.js";

async function main(args: readonly string[]): Promise<number> {
  const request = parseArguments(args);
  if (request === null) {
    process.stdout.write(HELP);
    return 0;
  }
  const results = await measure(request.plan, new Progress());
  const file = resolve(root, request.output ?? `bench/results/bench-${results.date}.json`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(results)}\n`);
  console.log(`${tables(results)}\n\nsamples: ${file}`);
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
