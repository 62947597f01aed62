/** What is to be measured: the command line of the bench, checked. */
import { parseArgs } from "node:util";
import { type Model, models } from "./bed.js";
import { type Subject, subjects } from "./subjects.js";
import { type Workload, workloads } from "./workloads.js";

export interface Plan {
  readonly models: readonly Model[];
  readonly subjects: readonly Subject[];
  readonly workloads: readonly Workload[];
  readonly rounds: number;
  /** Of one sample. */
  readonly seconds: number;
  /** Flags for every weftd. */
  readonly weftd: readonly string[];
  /** Where the samples go, below the checkout. */
  readonly output: string;
}

const HELP = `Usage: npm run bench -- [options]        as root

  --quick               fewer subjects, workloads and rounds: under 3 minutes
  --models LIST         of ${models.join(", ")}
  --subjects LIST       of ${subjects.map(({ name }) => name).join(", ")}
  --workloads LIST      of ${workloads.map(({ name }) => name).join(", ")}
  --rounds N            how often each is measured (5)
  --seconds S           how long a sample takes (1)
  --weftd FLAG          a flag for every weftd, such as --weftd=--offload=none; may be repeated
  --output FILE         where the samples go
`;

/** Leaves with a sentence when the arguments make no plan, and with the help text when they ask for it. */
export async function parseArguments(args: readonly string[]): Promise<Plan> {
  const list = { type: "string" as const };
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: "boolean" },
      quick: { type: "boolean", default: false },
      models: list,
      subjects: list,
      workloads: list,
      rounds: list,
      seconds: list,
      output: list,
      weftd: { type: "string", multiple: true, default: [] },
    },
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    process.exit(0);
  }
  const { quick } = values;
  const named = <T extends { readonly name: string }>(
    all: readonly T[],
    text: string | undefined,
  ): readonly T[] => (text === undefined ? all : text.split(",").map((name) => find(all, name)));
  return {
    models: named(
      models.map((name) => ({ name })),
      values.models,
    ).map(({ name }) => name),
    subjects: await present(
      named(subjects, values.subjects ?? (quick ? "kernel,weft-udp,weft-vxlan,flannel-loop" : undefined)),
    ),
    workloads: named(workloads, values.workloads ?? (quick ? "tcp-1,tcp-4,udp-64,rr" : undefined)),
    rounds: Number(values.rounds ?? (quick ? 3 : 5)),
    seconds: Number(values.seconds ?? (quick ? 0.5 : 1)),
    weftd: values.weftd,
    output: values.output ?? "bench/results/last.json",
  };
}

function find<T extends { readonly name: string }>(all: readonly T[], name: string): T {
  const found = all.find((each) => each.name === name);
  if (found !== undefined) return found;
  process.stderr.write(`no ${name}: one of ${all.map((each) => each.name).join(", ")}\n`);
  process.exit(2);
}

/** Those that can be measured on this machine; says which cannot. */
async function present(list: readonly Subject[]): Promise<Subject[]> {
  const found: Subject[] = [];
  for (const subject of list) {
    const missing = (await subject.missing?.()) ?? null;
    if (missing === null) found.push(subject);
    else process.stderr.write(`without ${subject.name}: ${missing}\n`);
  }
  return found;
}
