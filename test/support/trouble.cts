/**
 * Loaded into a daemon with `node --require`: makes trouble for it from inside. At SIGUSR2 it reads the file that TROUBLE
 * names, which holds one of
 *
 *     block <milliseconds>     the event loop stands still
 *     throw                    an exception that nobody catches
 *     eat                      all the memory that there is
 *
 * Not an ES module, because loading one (`--import`) would add 20 ms to every pause that is measured.
 */
import fs = require("node:fs");

const hoard: Buffer[] = [];

const troubles: Readonly<Record<string, (amount: number) => void>> = {
  block: (milliseconds) => {
    fs.writeSync(2, "loop blocked\n");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
    fs.writeSync(2, "loop released\n");
  },
  throw: () => {
    throw new Error("trouble");
  },
  eat: () => {
    for (;;) hoard.push(Buffer.alloc(1 << 20, 1));
  },
};

process.on("SIGUSR2", () => {
  const [what = "", amount] = fs.readFileSync(process.env["TROUBLE"] ?? "", "utf8").split(" ");
  troubles[what]?.(Number(amount));
});
