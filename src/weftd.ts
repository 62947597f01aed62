#!/usr/bin/env node
/** The daemon's entry point. */
import { resume } from "./resume.js";

const inheritance = resume(process.env);
const { runMain, weftd } = await import("./main.js");
await runMain("weftd", () => weftd(process.argv.slice(2), inheritance));
// Nothing is left to do: what still waits, for instance for a connection to close, is not waited for.
process.exit();
