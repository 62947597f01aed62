/**
 * `npm run bench:guard [-- --weftd=FLAG…]`: whether weft is about as fast as it was, in relation to the others of the
 * same run. What fails is measured once more, since a machine may be busy for a while. Exits with 1 when it fails again.
 */
import { parseArgs } from "node:util";
import { violations } from "./guard-rules.js";
import { measure } from "./measure.js";
import { guardPlan } from "./plan.js";
import { Progress } from "./progress.js";
import { tables } from "./report.js";

const TRIES = 2;

const { values } = parseArgs({ options: { weftd: { type: "string", multiple: true, default: [] } } });
const plan = guardPlan(values.weftd);
let found: string[] = [];
for (let i = 0; i < TRIES; i++) {
  const results = await measure(plan, new Progress());
  console.log(tables(results));
  found = violations(results);
  if (found.length === 0) break;
  console.log(`\n${found.join("\n")}\n`);
}
process.exitCode = found.length > 0 ? 1 : 0;
