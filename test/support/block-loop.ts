/**
 * Loaded into a daemon with `node --import`: at SIGUSR2 the event loop stands still, and says so. For 10 s, or for as
 * many milliseconds as BLOCK_LOOP_MS says.
 */
import { writeSync } from "node:fs";

const milliseconds = Number(process.env["BLOCK_LOOP_MS"] ?? 10_000);

process.on("SIGUSR2", () => {
  writeSync(2, "loop blocked\n");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
  writeSync(2, "loop released\n");
});
