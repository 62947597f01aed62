#!/usr/bin/env node
/** The command line's entry point. */
import { runCommand } from "./cli/commands.js";
import { runMain } from "./main.js";

// `weft peers | head` ends early, and that is fine.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

await runMain("weft", () => runCommand(process.argv.slice(2)));
