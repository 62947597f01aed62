/**
 * The faults that are quick enough for every run of the tests, on one bench, at a rate that a busy machine carries;
 * and the harness itself: nothing is lost without a fault. All of them: `npm run test:faults`.
 */
import test from "ava";
import { SLACK_MS } from "../support/bounds.js";
import { Bench } from "./bench.js";
import { Chance } from "./chance.js";
import { allFaults, broken } from "./fault.js";
import { harm, unexplained } from "./harm.js";

const selection = [
  "w1-loss",
  "w2-reorder",
  "w3-duplicates",
  "w4-corruption",
  "h13-link-flap",
  "h21-send-queue",
  "h1-kill",
  "h2-takeover",
  // At the end: health speaks of it for longer than it lasts.
  "h22-local-firewall",
];

test("two pods lose nothing while nothing happens, and nothing beyond the bounds of faults", async (t) => {
  const bench = await Bench.create(t.teardown, {
    format: "vxlan",
    registry: "file",
    perSecond: 2000,
    milliseconds: 300,
  });
  const calm = await bench.traffic();
  t.true(calm[0].sent > 300 && calm[1].sent > 300);
  t.deepEqual(harm(calm), { lost: 0, duplicated: 0, corrupt: 0, reordered: 0 }, JSON.stringify(calm));
  t.is(unexplained(calm), 0);

  const faults = await allFaults();
  for (const [seed, name] of selection.entries()) {
    const fault = faults.find((each) => each.name === name);
    if (fault === undefined) throw new Error(`no fault ${name}`);
    await bench.calm(seed);
    const measures = await fault.inject(bench, new Chance(seed));
    t.deepEqual(broken(fault, measures, SLACK_MS), [], `${name}: ${JSON.stringify(measures)}`);
  }
});
