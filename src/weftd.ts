#!/usr/bin/env node
/** The daemon's entry point. */
import { runMain, weftd } from "./main.js";

await runMain("weftd", () => weftd(process.argv.slice(2)));
