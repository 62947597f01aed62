/**
 * Loaded into a daemon with `node --expose-gc --import`: at SIGUSR2 it collects its garbage and says what is left, in
 * bytes, as one line on standard error: `memory {"live":…,"resident":…}`.
 */
import { writeSync } from "node:fs";

process.on("SIGUSR2", () => {
  globalThis.gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  writeSync(2, `memory ${JSON.stringify({ live: heapUsed + external, resident: rss })}\n`);
});
