/**
 * The three places settings are written in, each read into the same form: a list of `Setting`, still text, with the
 * place it stands at for error messages. Nothing is judged here but the notation itself and the names.
 */
import { readFileSync } from "node:fs";
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar } from "yaml";
import { ConfigError } from "./errors.js";
import { environmentNames, FLAG_NAMES, type FlagName, findFlag, flagOf } from "./flags.js";
import { suggestion } from "./suggest.js";

export interface Setting {
  readonly name: FlagName;
  /** One text, or several where the flag may be repeated. */
  readonly texts: readonly string[];
  /** Where it stands: `--tun`, `WEFT_TUN`, `/etc/weft.yaml:3: tun`. */
  readonly origin: string;
}

/**
 * Reads a command line as Go's flag package does: one dash or two, `--name=value` or `--name value`, switches without
 * a value. Stops at `--help` and `--version`. Throws a ConfigError.
 */
export function readArguments(argv: readonly string[]): readonly Setting[] {
  const settings = new Map<FlagName, Setting>();
  const rest = argv[Symbol.iterator]();
  for (const argument of rest) {
    const match = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argument);
    if (match?.[1] === undefined) {
      throw new ConfigError(
        `unexpected argument "${argument}": settings are written --name=value (see --help)`,
      );
    }
    const name = findFlag(match[1] === "h" ? "help" : match[1]);
    if (name === null) {
      throw new ConfigError(
        `unknown flag --${match[1]}${suggestion(match[1], FLAG_NAMES, "--") || " (see --help)"}`,
      );
    }
    const flag = flagOf(name);
    let text = match[2];
    if (text === undefined) {
      const next = flag.type.metavar === null ? { value: "true" } : rest.next();
      text = next.value;
    }
    if (text === undefined)
      throw new ConfigError(`--${name} needs a value: --${name}=${flag.type.metavar ?? ""}`);
    const earlier = flag.repeatable ? (settings.get(name)?.texts ?? []) : [];
    settings.set(name, { name, texts: [...earlier, text], origin: `--${name}` });
    if (name === "help" || name === "version") break;
  }
  return [...settings.values()];
}

/** Reads the variables of one prefix (`FLANNELD_`, `WEFT_`); an empty one counts as not set. */
export function readEnvironment(
  env: NodeJS.ProcessEnv,
  prefix: "FLANNELD_" | "WEFT_",
): { readonly settings: readonly Setting[]; readonly warnings: readonly string[] } {
  const names = new Map(
    FLAG_NAMES.filter((name) => name !== "help" && name !== "version").flatMap((name) =>
      environmentNames(name).map((variable) => [variable, name]),
    ),
  );
  const settings: Setting[] = [];
  const warnings: string[] = [];
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith(prefix) || text === undefined || text === "") continue;
    const name = names.get(variable);
    if (name !== undefined) settings.push({ name, texts: [text], origin: variable });
    else warnings.push(`${variable} is no setting and is ignored${suggestion(variable, [...names.keys()])}`);
  }
  return { settings, warnings };
}

/** Reads a YAML file whose keys are the flags' names. Throws a ConfigError that names file and line. */
export function readConfigFile(path: string): readonly Setting[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(`cannot read the config file ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const lines = new LineCounter();
  const fail = (offset: number, message: string) =>
    new ConfigError(`${path}:${lines.linePos(offset).line}: ${message}`);
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [problem] = document.errors;
  if (problem !== undefined) throw fail(problem.pos[0], problem.message);
  if (document.contents === null) return [];
  if (!isMap<Scalar, Node | null>(document.contents)) {
    throw fail(document.contents.range[0], "expected lines of the form `name: value`");
  }
  return document.contents.items.map(({ key, value }) => {
    const offset = key.range?.[0] ?? 0;
    const name = findFlag(String(key.value));
    if (name === null || name === "help" || name === "version" || name === "config") {
      throw fail(
        offset,
        `unknown setting "${String(key.value)}"${suggestion(String(key.value), FLAG_NAMES)}`,
      );
    }
    const { repeatable, type } = flagOf(name);
    const mayBeList = repeatable === true || type.list === true;
    const texts = mayBeList && isSeq(value) ? value.items.map(scalarText) : [scalarText(value)];
    if (!texts.every((item) => item !== null)) {
      throw fail(offset, `${name} needs a value${mayBeList ? " or a list of values" : ""}`);
    }
    const origin = `${path}:${lines.linePos(offset).line}: ${name}`;
    return { name, texts: repeatable ? texts : [texts.join(",")], origin };
  });
}

/** A scalar as it was written, quotes removed (`0123` stays `0123`); null for anything else and for no value. */
function scalarText(node: unknown): string | null {
  return isScalar(node) && node.value !== null ? (node.source ?? null) : null;
}
