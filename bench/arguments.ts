/** The command line of the bench. */
import { parseArgs } from "node:util";
import { models } from "./bed.js";
import { externalSubject } from "./external.js";
import { partsWanted, type Plan } from "./plan.js";
import { subjects } from "./subjects.js";
import { workloads } from "./workloads.js";

export const HELP = `Usage: npm run bench -- [options]        as root

Without options: everything, in about 10 minutes.

  --quick               the main lines only, in a minute
  --models LIST         of ${models.join(", ")}
  --workloads LIST      of ${workloads.map(({ name }) => name).join(", ")}
  --subjects LIST       of ${subjects.map(({ name }) => name).join(", ")},
                        and those of --external
  --external NAME=FILE  a script that starts and stops another daemon: see bench/external.ts; may be repeated
  --mtu N               of the underlay, where it is 1500 by default
  --rounds N            how often each is measured (5)
  --seconds S           how long a sample takes (1)
  --weftd FLAG          a flag for every weftd, such as --weftd=--offload=none; may be repeated
  --output FILE         where the samples go; by default bench/results/bench-DATE.json without other options,
                        bench/results/last.json with any
`;

/** Wrong use of the command line: a sentence for its user. */
export class UsageError extends Error {}

/**
 * The plan that arguments ask for, and where results go (null: as by default). Null when they ask for help. Throws a
 * UsageError.
 */
export function parseArguments(args: readonly string[]): { plan: Plan; output: string | null } | null {
  const values = readOptions(args);
  if (values.help === true) return null;
  const external = values.external.map((definition) => {
    return externalSubject(definition) ?? fail(`--external takes NAME=SCRIPT, not ${definition}`);
  });
  const known = [...subjects, ...external];
  const parts = partsWanted(values.quick, known, {
    models: pick(models, values.models),
    workloads: pick(names(workloads), values.workloads),
    subjects: pick(names(known), values.subjects),
    mtu: values.mtu === undefined ? null : positive("mtu", values.mtu),
  });
  const plan = {
    parts,
    rounds: positive("rounds", values.rounds ?? (values.quick ? "3" : "5")),
    seconds: positive("seconds", values.seconds ?? (values.quick ? "0.5" : "1")),
    weftd: values.weftd,
  };
  return { plan, output: values.output ?? (args.length === 0 ? null : "bench/results/last.json") };
}

/** As node:util reads them; what it has to complain about is the user's. */
function readOptions(args: readonly string[]) {
  const text = { type: "string" } as const;
  const texts = { type: "string", multiple: true, default: [] as string[] } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        help: { type: "boolean" },
        quick: { type: "boolean", default: false },
        models: text,
        workloads: text,
        subjects: text,
        external: texts,
        mtu: text,
        rounds: text,
        seconds: text,
        weftd: texts,
        output: text,
      },
    }).values;
  } catch (error) {
    return fail((error as Error).message);
  }
}

/** The names in a list that may be absent. */
function pick<T extends string>(of: readonly T[], list: string | undefined): readonly T[] | null {
  if (list === undefined) return null;
  return list
    .split(",")
    .map((name) => of.find((each) => each === name) ?? fail(`no ${name}: ${of.join(", ")}`));
}

function names(of: readonly { readonly name: string }[]): string[] {
  return of.map(({ name }) => name);
}

function positive(option: string, value: string): number {
  const number = Number(value);
  return number > 0 ? number : fail(`--${option} takes a number above 0, not ${value}`);
}

function fail(message: string): never {
  throw new UsageError(message);
}
