#!/usr/bin/env -S node --max-semi-space-size=2
/**
 * The daemon's entry point. The heap's young generation is kept small, which with 1 000 peers saves a fifth of the
 * resident memory: what the daemon makes is either kept or gone at once.
 *
 * This file and what it requires are CommonJS: Node has them loaded before it has prepared to load ES modules. The
 * rest is loaded when packets flow.
 */
import resume = require("./resume.cjs");

const inheritance = resume.resume(process.env);
void Promise.all([import("./main.js"), import("./start.js")]).then(async ([{ runMain }, { weftd }]) => {
  await runMain("weftd", () => weftd(process.argv.slice(2), inheritance));
  // Nothing is left to do: what still waits, for instance for a connection to close, is not waited for.
  process.exit();
});
