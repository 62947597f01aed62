/**
 * W7. A path that swallows large datagrams: once a router says so, pods are told and large packets arrive again, in
 * smaller ones. Until then nobody can know, and each loss is the wire's.
 */
import { setTimeout as delay } from "node:timers/promises";
import { icmpError, udp } from "../support/craft.js";
import { ports } from "../support/overlay.js";
import { WIRE_END } from "./bench.js";
import { defineFault } from "./fault.js";
import { harm, mustHappen, unexplained, wireTotal } from "./harm.js";

const HOLE_MS = 200;

export const fault = defineFault({
  row: "W7",
  what: "the path shrinks to less than 1450 bytes, and a router tells of it 200 ms later",
  // What was learned stays for ten minutes, in the daemons and in the kernels of hosts and pods.
  scars: true,
  bounds: { blockedMsAfterWord: 250, corrupt: 0, duplicated: 0, unexplained: 0 },
  inject: async (bench, chance) => {
    const mtu = Math.round(chance.between(600, 1450));
    const port = ports[bench.options.format];
    let holeMs = 0;
    const accounts = await bench.traffic(
      async () => {
        await delay(HOLE_MS);
        const begin = performance.now();
        await bench.wire.impair({ mtu });
        await delay(HOLE_MS);
        for (const [source, destination] of [
          [bench.nodes[0].host.address, bench.nodes[1].host.address],
          [bench.nodes[1].host.address, bench.nodes[0].host.address],
        ] as const) {
          const about = udp(
            { source, destination, sourcePort: port, destinationPort: port },
            new Uint8Array(64),
          );
          const word = icmpError(WIRE_END, 3, 4, about, mtu);
          await bench.stranger.do("raw-send", { hex: Buffer.from(word).toString("hex"), address: source });
        }
        holeMs = performance.now() - begin;
        await delay(1000);
      },
      { size: 1400, perSecond: Math.min(5000, bench.options.perSecond) },
    );
    mustHappen("a hole", wireTotal(await bench.wire.report(), "oversize") > 0);
    const { corrupt, duplicated } = harm(accounts);
    return {
      blockedMsAfterWord: Math.max(0, ...accounts.map(({ blockedMs }) => blockedMs - holeMs)),
      corrupt,
      duplicated,
      unexplained: unexplained(accounts),
    };
  },
});
