/**
 * H18. A daemon is killed, and the files that it left are torn: cut short, with bits flipped, or full of something else.
 * The next one takes none of it for true, and starts from what is whole.
 */
import { randomBytes } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Chance } from "./chance.js";
import { defineFault } from "./fault.js";
import { harm } from "./harm.js";

export const fault = defineFault({
  row: "H18",
  what: "a daemon is killed and every file in its directories is cut short, changed or replaced",
  registry: "etcd",
  bounds: { blockedMs: 1000, duplicated: 0, corrupt: 0, reordered: 0 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const accounts = await bench.traffic(async () => {
      await delay(100);
      for (const name of await readdir(service.weftd.directory)) {
        await tear(join(service.weftd.directory, name), chance);
      }
      await service.kill("SIGKILL");
    });
    const { duplicated, corrupt, reordered } = harm(accounts);
    const blockedMs = Math.max(...accounts.map((account) => account.blockedMs));
    return { blockedMs, duplicated, corrupt, reordered };
  },
});

async function tear(path: string, chance: Chance): Promise<void> {
  if (!(await stat(path)).isFile()) return;
  const bytes = await readFile(path);
  const flipped = Buffer.from(bytes);
  const at = Math.floor(chance.between(0, bytes.length));
  if (bytes.length > 0) flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(chance.between(0, 8)));
  await writeFile(
    path,
    chance.pick([bytes.subarray(0, at), flipped, randomBytes(bytes.length), Buffer.alloc(0)]),
  );
}
