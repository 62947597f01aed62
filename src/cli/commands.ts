/** The table of verbs of `weft`, its help, and the way from a command line to a verb. */
import { ConfigError, EXIT_OK, EXIT_USAGE } from "../config/errors.js";
import { suggestion } from "../config/suggest.js";
import { VERSION } from "../config/version.js";
import { type Command, JSON_HELP, RUN_DIR_HELP } from "./command.js";

/** Each is loaded when it is needed: a verb starts in half the time without the others. */
const VERBS: Readonly<Record<string, () => Promise<Command>>> = {
  status: async () => (await import("./status.js")).status,
  peers: async () => (await import("./peers.js")).peers,
  routes: async () => (await import("./routes.js")).routes,
  counters: async () => (await import("./counters.js")).counters,
  capture: async () => (await import("./capture.js")).capture,
  trace: async () => (await import("./trace.js")).trace,
  "log-level": async () => (await import("./log-level.js")).logLevel,
  restart: async () => (await import("./restart.js")).restart,
  leave: async () => (await import("./leave.js")).leave,
  up: async () => (await import("./up.js")).up,
  "install-service": async () => (await import("./install-service.js")).installService,
  "uninstall-service": async () => (await import("./install-service.js")).uninstallService,
};

/**
 * Runs the verb that `argv` names; resolves with the exit code. Options that stand before the verb are treated as
 * though they followed it. Throws a WeftError.
 */
export async function runCommand(argv: readonly string[]): Promise<number> {
  let at = 0;
  while (argv[at]?.startsWith("-")) at += argv[at] === "--run-dir" ? 2 : 1;
  const name = argv[at];
  const args = argv.toSpliced(at, 1);
  const wantsHelp = args.includes("--help") || args.includes("-h");
  if (name === undefined) {
    if (args.includes("--version")) process.stdout.write(`weft ${VERSION}\n`);
    else (wantsHelp ? process.stdout : process.stderr).write(await overview());
    return wantsHelp || args.includes("--version") ? EXIT_OK : EXIT_USAGE;
  }
  const load = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (load === undefined) {
    const names = Object.keys(VERBS);
    throw new ConfigError(
      `there is no verb "${name}"${suggestion(name, names, "weft ") || `; there are ${names.join(", ")}`}`,
    );
  }
  const command = await load();
  if (!wantsHelp) return command.run(args);
  process.stdout.write(
    `weft ${name} - ${command.summary}\n\nUsage: weft ${name} ${command.usage}\n\n${command.help}`,
  );
  return EXIT_OK;
}

async function overview(): Promise<string> {
  const commands = await Promise.all(Object.values(VERBS).map((load) => load()));
  return `weft - asks and runs weftd, the daemon of a userspace overlay network

Usage: weft <verb> [options]

${commands.map(({ name, summary }) => `  ${name.padEnd(18)} ${summary}\n`).join("")}
'weft <verb> --help' tells more about a verb, 'weftd --help' about the daemon.
Options of the verbs that ask the daemon:
${JSON_HELP}${RUN_DIR_HELP}
Examples
  weft status                         is it well, and if not, why?
  weft peers --json | jq '.[].node'   for programs
  weft counters                       where did my packets go?
  weft trace 10.5.1.2 10.5.2.2 tcp 80 what would become of this one?
  weft capture --seconds 10 | tshark -r -
  sudo weft up --file peers.yaml      two machines and a coffee break

Exit codes
  0 fine    1 failed    2 wrong use    3 weftd is not running
`;
}
