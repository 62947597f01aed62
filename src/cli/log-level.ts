/** `weft log-level`: changes what the running daemon logs. */
import { ConfigError, EXIT_OK } from "../config/errors.js";
import { LOG_LEVELS } from "../config/options.js";
import { ask } from "./client.js";
import { type Command, parseCommandLine, RUN_DIR, RUN_DIR_HELP } from "./command.js";

export const logLevel: Command = {
  name: "log-level",
  usage: "<level> [--run-dir DIR]",
  summary: "change what the running daemon logs",
  help: `Levels: ${LOG_LEVELS.join(", ")}. Lasts until the daemon ends.\n\n${RUN_DIR_HELP}`,
  async run(args) {
    const { values, positionals } = parseCommandLine("log-level", {
      args: [...args],
      options: RUN_DIR,
      allowPositionals: true,
    });
    const level = LOG_LEVELS.find((known) => known === positionals[0]);
    if (level === undefined || positionals.length > 1) {
      throw new ConfigError(`weft log-level takes one of ${LOG_LEVELS.join(", ")}`);
    }
    await ask(values["run-dir"], "PUT", "/log-level", { level });
    process.stdout.write(`weftd now logs ${level} and what is more severe\n`);
    return EXIT_OK;
  },
};
