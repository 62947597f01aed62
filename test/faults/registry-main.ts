/**
 * `node dist/test/faults/registry-main.js --seed S --hours N`: the random schedule of registry-schedule.ts alone, for so
 * long; a minute unless told otherwise. The exit code is 0 only if the model had nothing to object.
 */
import { parseArgs } from "node:util";
import { recordFinding } from "../support/findings.js";
import { BOUND_MS, run } from "./registry-schedule.js";

const { values } = parseArgs({
  options: { seed: { type: "string", default: "1" }, hours: { type: "string", default: String(1 / 60) } },
});
const [seed, hours] = [Number(values.seed), Number(values.hours)];
const { rounds, writes, slowestMs, problems } = await run({ seed, minutes: hours * 60, log: console.log });
const figure = `${rounds} rounds, ${writes} writes, seed ${seed}: right after ${Math.round(slowestMs)} ms at worst`;
console.log(figure);
for (const problem of problems) console.error(problem);
recordFinding({
  row: "C2",
  fault: "random faults between a node and etcd, and of etcd, while leases change",
  test: `node dist/test/faults/registry-main.js --seed ${seed}`,
  bound: `right ${BOUND_MS / 1000} s after the last fault, no route lost that was not withdrawn`,
  measured: figure,
});
if (problems.length > 0) process.exitCode = 1;
