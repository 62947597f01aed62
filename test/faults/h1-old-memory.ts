/**
 * H1, with etcd away and an old memory of it: what the workers carried by counts for more than what the registry
 * remembers, for the next process and for one that takes over.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { formatMemory, parseMemory } from "../../src/lease/memory.js";
import { defineFault } from "./fault.js";
import { harm, mustHappen, silenceMs } from "./harm.js";

export const fault = defineFault({
  row: "H1",
  what: "etcd is away, the file that remembers it knows no peers, and a daemon is killed, then replaced",
  registry: "etcd",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0, pauseMs: 250 },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const file = join(service.weftd.directory, "etcd-memory");
    // What is remembered has been written by then.
    await delay(3000);
    await bench.etcd?.stop();
    const memory = parseMemory(await readFile(file));
    mustHappen("memory", memory !== null && memory.peers.length > 0);
    if (memory !== null) await writeFile(file, formatMemory({ ...memory, peers: [] }).text);
    const accounts = await bench.traffic(async () => {
      await delay(chance.between(100, 400));
      await service.kill("SIGKILL");
      await delay(200);
      mustHappen("takeover", (await service.reload()) === 0);
    });
    await bench.etcd?.start();
    return { ...harm(accounts), pauseMs: silenceMs(accounts) };
  },
});
