/** What a verb of `weft` is, and the common form of those that ask the daemon something and print the answer. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { ConfigError, EXIT_OK } from "../config/errors.js";
import { FLAGS } from "../config/flags.js";
import { ask } from "./client.js";

export interface Command {
  readonly name: string;
  /** What follows the verb. */
  readonly usage: string;
  /** A few words for the list of verbs. */
  readonly summary: string;
  /** The rest of `weft <verb> --help`. */
  readonly help: string;
  /** Runs with the arguments that follow the verb; resolves with the exit code. Throws a WeftError. */
  run(args: readonly string[]): Promise<number>;
}

export const JSON_HELP = "  --json          the answer as JSON, for programs\n";
export const RUN_DIR_HELP = `  --run-dir DIR   the daemon's run directory (default ${FLAGS["run-dir"].default}, or $WEFT_RUN_DIR)\n`;

/** The option that every verb but `up` takes. */
export const RUN_DIR = {
  "run-dir": { type: "string", default: process.env["WEFT_RUN_DIR"] || FLAGS["run-dir"].default },
} as const;

interface Question<T> {
  /** The verb, and the path under which the admin socket answers. */
  readonly name: string;
  readonly summary: string;
  readonly help: string;
  /** The answer as text for people, with a final line end. */
  readonly print: (answer: T, all: boolean) => string;
  /** What `--all` does, where there is more to show. */
  readonly all?: string;
}

/** A verb that prints the daemon's answer, as text or with --json as it came. */
export function question<T>({ name, summary, help, print, all }: Question<T>): Command {
  return {
    name,
    summary,
    usage: `[--json]${all === undefined ? "" : " [--all]"} [--run-dir DIR]`,
    help: `${help}\n\n${JSON_HELP}` + (all === undefined ? "" : `  --all           ${all}\n`) + RUN_DIR_HELP,
    async run(args) {
      const { values } = parseCommandLine(name, {
        args: [...args],
        options: {
          ...RUN_DIR,
          json: { type: "boolean", default: false },
          ...(all === undefined ? {} : { all: { type: "boolean" as const, default: false } }),
        },
      });
      const answer = await ask(values["run-dir"], "GET", `/${name}`);
      process.stdout.write(
        values.json ? `${JSON.stringify(answer, null, 2)}\n` : print(answer as T, values.all === true),
      );
      return EXIT_OK;
    },
  };
}

/** `util.parseArgs` whose errors are ConfigErrors. */
export function parseCommandLine<C extends ParseArgsConfig>(
  verb: string,
  config: C,
): ReturnType<typeof parseArgs<C>> {
  try {
    return parseArgs(config);
  } catch (error) {
    const [sentence] = (error as Error).message.split(/[.\n] ?/);
    throw new ConfigError(`${sentence ?? ""} (see weft ${verb} --help)`, { cause: error });
  }
}
