/**
 * Loaded into a daemon with `node --import`: makes trouble for it from inside. At SIGUSR2 it reads the file that
 * TROUBLE names, which holds one of
 *
 *     block <milliseconds>     the event loop stands still
 *     throw                    an exception that nobody catches
 *     eat                      all the memory that there is
 */
import { readFileSync, writeSync } from "node:fs";

const hoard: Buffer[] = [];

const troubles: Readonly<Record<string, (amount: number) => void>> = {
  block: (milliseconds) => {
    writeSync(2, "loop blocked\n");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
    writeSync(2, "loop released\n");
  },
  throw: () => {
    throw new Error("trouble");
  },
  eat: () => {
    for (;;) hoard.push(Buffer.alloc(1 << 20, 1));
  },
};

process.on("SIGUSR2", () => {
  const [what = "", amount] = readFileSync(process.env["TROUBLE"] ?? "", "utf8").split(" ");
  troubles[what]?.(Number(amount));
});
