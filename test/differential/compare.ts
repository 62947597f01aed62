/** Runs a scenario through the model and the core, and tells the first difference. */
import { hex } from "../support/model/bytes.js";
import { Host } from "../support/model/host.js";
import type { Core } from "./core.js";
import {
  coreAnswer,
  coreStatistics,
  modelStatistics,
  modelStep,
  resetRequest,
  type Scenario,
  statisticsRequest,
  type Step,
  stepRequest,
} from "./steps.js";

export interface Comparison {
  /** Counters of the model at the end, by name. */
  readonly counters: ReadonlyMap<string, number>;
  /** Null when both did the same; otherwise what was put in and what came out of each. */
  readonly difference: string | null;
}

/** Both sides see a flush at the end, so that nothing stays untold. */
export async function compare(core: Core, scenario: Scenario): Promise<Comparison> {
  const steps: readonly Step[] = [...scenario.steps, { kind: "flush" }];
  const pending = core.exchange([resetRequest(scenario), ...steps.map(stepRequest), statisticsRequest]);

  const host = new Host(scenario.settings);
  const expected = steps.map((step) => modelStep(host, step));
  const responses = await pending.catch((error: unknown) => String(error));
  if (typeof responses === "string") {
    return { counters: host.counters, difference: [...steps.map(describe), responses].join("\n") };
  }
  const [statistics = Buffer.alloc(0)] = responses.slice(-1);

  const differences = steps.map((step, i) =>
    differ(expected[i] ?? [], coreAnswer(step, responses[i + 1] ?? Buffer.alloc(0), core.reasons)),
  );
  differences.push(differ(modelStatistics(host, core.counters), coreStatistics(statistics, core.counters)));
  const at = differences.findIndex((difference) => difference !== null);
  if (at < 0) return { counters: host.counters, difference: null };
  const difference = [...steps.slice(0, at + 1).map(describe), differences[at]].join("\n");
  return { counters: host.counters, difference };
}

/** The first line that is not the same. */
function differ(model: readonly string[], core: readonly string[]): string | null {
  const i = Array.from({ length: Math.max(model.length, core.length) }).findIndex(
    (_, n) => model[n] !== core[n],
  );
  return i < 0 ? null : `model: ${model[i] ?? "(nothing)"}\ncore:  ${core[i] ?? "(nothing)"}`;
}

function describe(step: Step): string {
  const text = (_: string, value: unknown): unknown => (value instanceof Uint8Array ? hex(value) : value);
  return JSON.stringify(step, text);
}
