/**
 * `npm run test:differential -- [--packets N] [--seed S] [--format udp|vxlan]`: the long hunt. Prints what was seen,
 * and fails with a minimal report at the first difference.
 */
import { parseArgs } from "node:util";
import { buildCore, Core } from "./core.js";
import { accepted, hunt } from "./hunt.js";
import { scenarios } from "./scenarios.js";

const { values } = parseArgs({
  options: {
    packets: { type: "string", default: "2000000" },
    seed: { type: "string", default: `${Date.now() % 1_000_000_000}` },
    format: { type: "string" },
  },
});

const program = await buildCore();
for (const format of ["udp", "vxlan"] as const) {
  if (values.format !== undefined && values.format !== format) continue;
  const cleanups: (() => Promise<void> | void)[] = [];
  const start = (): Promise<Core> => Core.start(program, (cleanup) => cleanups.push(cleanup));
  console.log(`${format}: ${values.packets} packets, seed ${values.seed}`);
  const began = performance.now();
  const found = await hunt(start, scenarios(format), Number(values.packets), Number(values.seed));
  for (const cleanup of cleanups) await cleanup();
  for (const [name, n] of [...found.counters].sort()) console.log(`  ${name}: ${n}`);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`  ${found.packets} packets in ${seconds} s, ${(accepted(found) * 100).toFixed(1)} % accepted`);
  if (found.difference !== null) {
    console.error(found.difference);
    process.exitCode = 1;
  }
}
