/** Scenarios: a world, and what happens in it, drawn as plans and then worked out step by step. */
import fc from "fast-check";
import type { Format } from "../support/model/tx.js";
import type { World } from "../support/model/world.js";
import { captureScenarios } from "./captures.js";
import { neighbourPlan, neighbourSteps } from "./neighbours.js";
import { rxPlan, rxStep } from "./rx-steps.js";
import type { Scenario, Step } from "./steps.js";
import { streamPlan, streamSteps } from "./streams.js";
import { txPlan, txStep } from "./tx-steps.js";
import { world } from "./worlds.js";

/** What happens, without the world it happens in. */
type Event = (world: World, clock: { ms: number }) => readonly Step[];

/** The time at which scenarios begin: any but zero. */
const START_MS = 1_000_000;

function events(format: Format): fc.Arbitrary<Event> {
  const tx = txPlan.map((plan): Event => (world) => [txStep(world, plan)]);
  const rx = rxPlan.map((plan): Event => (world) => [rxStep(format, world, plan)]);
  const stream = streamPlan.map(
    (plan): Event =>
      (world) =>
        streamSteps(format, world, plan),
  );
  const neighbour = neighbourPlan.map(
    (plan): Event =>
      (world) =>
        neighbourSteps(world, plan),
  );
  const clock = fc.constantFrom(1, 20, 1000, 7000, 599_000, 601_000).map((pause): Event => (_, now) => {
    now.ms += pause;
    return [{ kind: "clock", ms: now.ms }];
  });
  const path = fc
    .record({
      row: fc.nat({ max: 4 }),
      mtu: fc.constantFrom(0, 68, 576, 900, 1280, 1300, 1400, 1420, 1500),
      local: fc.boolean(),
    })
    .map(({ row, ...told }): Event => ({ peers }) => {
      const peer = peers[row];
      return peer === undefined ? [] : [{ kind: "path", peer: peer.address, ...told }];
    });
  const refusal = fc
    .tuple(txPlan, fc.constantFrom(0, 68, 552, 576, 1000, 1280, 1300))
    .map(([plan, mtu]): Event => (world) => [
      { kind: "flush" },
      txStep(world, plan),
      { kind: "refuse", mtu },
    ]);
  return fc.oneof(
    { weight: 50, arbitrary: tx },
    { weight: 2, arbitrary: refusal },
    { weight: 40, arbitrary: rx },
    { weight: 2, arbitrary: stream },
    { weight: format === "vxlan" ? 3 : 0, arbitrary: neighbour },
    { weight: 3, arbitrary: clock },
    { weight: 2, arbitrary: path },
    { weight: 3, arbitrary: fc.constant((): readonly Step[] => [{ kind: "flush" }]) },
  );
}

/** Made up, and of real packets. */
export function scenarios(format: Format): fc.Arbitrary<Scenario> {
  return fc.oneof(
    { weight: 4, arbitrary: madeUp(format) },
    { weight: 1, arbitrary: captureScenarios(format) },
  );
}

/** Some steps before there are tables, many after, and now and then other tables. */
function madeUp(format: Format): fc.Arbitrary<Scenario> {
  const event = events(format);
  return fc
    .record({
      coalesce: fc.constantFrom(true, true, true, false),
      coalesceUdp: fc.boolean(),
      datagrams: fc.constantFrom(64, 64, 1),
      first: world,
      second: fc.option(world, { freq: 3 }),
      early: fc.array(event, { maxLength: 2 }),
      middle: fc.array(event, { maxLength: 120, size: "max" }),
      late: fc.array(event, { maxLength: 40, size: "max" }),
    })
    .map(({ coalesce, coalesceUdp, datagrams, first, second, early, middle, late }) => {
      const clock = { ms: START_MS };
      const happen = (all: readonly Event[], where: World): Step[] =>
        all.flatMap((each) => each(where, clock));
      const other = second ?? first;
      return {
        settings: { format, coalesce, coalesceUdp },
        datagrams,
        steps: [
          { kind: "clock", ms: START_MS },
          ...happen(early, first),
          { kind: "tables", world: first },
          ...happen(middle, first),
          // The send queue refers to peers by their rows, so it is emptied before they change.
          { kind: "flush" },
          ...(second === null ? [] : [{ kind: "tables", world: other } as const]),
          ...happen(late, other),
        ],
      };
    });
}
