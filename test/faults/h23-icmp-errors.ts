/**
 * H23. ICMP errors about the tunnel's datagrams, which anybody on the way can make or forge: they are held against the
 * peer they name and stop nothing, although the kernel reports each as the error of some later send.
 */
import { setTimeout as delay } from "node:timers/promises";
import { icmpError, udp } from "../support/craft.js";
import { ports } from "../support/overlay.js";
import { WIRE_END } from "./bench.js";
import { defineFault } from "./fault.js";
import { harm, mustHappen } from "./harm.js";

/** Types and codes: network, host, protocol and port unreachable, prohibited, source quench, time exceeded. */
const errors = [
  [3, 0],
  [3, 1],
  [3, 2],
  [3, 3],
  [3, 13],
  [4, 0],
  [11, 0],
] as const;

export const fault = defineFault({
  row: "H23",
  what: "forged ICMP errors of every kind about the tunnel reach both hosts, one each millisecond",
  bounds: { lost: 0, duplicated: 0, corrupt: 0, reordered: 0 },
  inject: async (bench) => {
    const port = ports[bench.options.format];
    const [a, b] = bench.nodes.map(({ host }) => host.address) as [string, string];
    const noticed = async (): Promise<number> => {
      const counts = await Promise.all(bench.nodes.map(({ weftd }) => weftd.counter("tx", "peer_errors")));
      return counts.reduce((sum, count) => sum + count, 0);
    };
    const before = await noticed();
    const accounts = await bench.traffic(async () => {
      const end = performance.now() + 1000;
      for (let i = 0; performance.now() < end; i++) {
        const [type, code] = errors[i % errors.length] ?? errors[0];
        const [source, destination] = i % 2 === 0 ? [a, b] : [b, a];
        const about = udp(
          { source, destination, sourcePort: port, destinationPort: port },
          new Uint8Array(64),
        );
        const hex = Buffer.from(icmpError(WIRE_END, type, code, about)).toString("hex");
        await bench.stranger.do("raw-send", { hex, address: source });
        await delay(1);
      }
    });
    mustHappen("errors", (await noticed()) > before + 20);
    return harm(accounts);
  },
});
