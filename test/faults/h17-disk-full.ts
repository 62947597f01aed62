/**
 * H17. The disk that a daemon writes to is full: it says so and carries packets, also a next one after it was killed.
 * What could not be written is, once there is room.
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { took } from "./bench.js";
import { defineFault } from "./fault.js";
import { harm, mustHappen, silenceMs } from "./harm.js";

/** What the lease of a node has of its format. */
const BACKEND = {
  udp: {},
  vxlan: { BackendType: "vxlan", BackendData: { VNI: 1, VtepMAC: "02:00:00:00:00:77" } },
} as const;

/** Longer than a daemon puts off what it writes. */
const PACE_MS = 1000;

export const fault = defineFault({
  row: "H17",
  what: "the disk of a daemon's files is full, the peers change, and it is killed",
  registry: "etcd",
  bounds: {
    lost: 0,
    duplicated: 0,
    corrupt: 0,
    reordered: 0,
    pauseMs: 250,
    msUntilTold: 6000,
    msUntilWritten: 6000,
  },
  inject: async (bench, chance) => {
    const { service } = chance.pick(bench.nodes);
    const { directory } = service.weftd;
    const filler = join(directory, "filler");
    const peer = `/coreos.com/network/subnets/10.5.${Math.floor(chance.between(100, 200))}.0-24`;
    const lease = { PublicIP: "192.0.2.77", PublicIPv6: null, ...BACKEND[bench.options.format] };
    // What changed last has been written by then.
    await delay(PACE_MS);
    const estate = (): Promise<string> => readFile(join(directory, "estate"), "utf8");
    const before = await estate();
    let msUntilTold = NaN;
    const accounts = await bench.traffic(async () => {
      await fill(filler);
      await bench.etcd?.put(peer, JSON.stringify(lease));
      msUntilTold = await took("a word about the disk", async () => {
        const { health } = await service.weftd.ask("/status");
        return health.reasons.some((reason) => reason.includes("ENOSPC"));
      });
      mustHappen("full disk", (await estate()) === before);
      await service.kill("SIGKILL");
      await delay(200);
    });
    await rm(filler);
    const msUntilWritten = await took("an estate", async () => {
      const { health } = await service.weftd.ask("/status");
      return health.state === "ready" && (await estate()) !== before;
    });
    await bench.etcd?.del(peer);
    return { ...harm(accounts), pauseMs: silenceMs(accounts), msUntilTold, msUntilWritten };
  },
});

/** Takes all the room that there is, also what a shorter file would leave. */
async function fill(path: string): Promise<void> {
  for (let size = 1 << 20; size >= 1; size = Math.floor(size / 2)) {
    for (;;) {
      try {
        await writeFile(path, Buffer.alloc(size), { flag: "a" });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        break;
      }
    }
  }
}
