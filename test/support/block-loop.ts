/** Loaded into a daemon with `node --import`: at SIGUSR2 the event loop stands still for 10 s, and says so. */
import { writeSync } from "node:fs";

process.on("SIGUSR2", () => {
  writeSync(2, "loop blocked\n");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
  writeSync(2, "loop released\n");
});
