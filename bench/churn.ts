/**
 * What a daemon's tables cost while they change: routes are replaced under traffic, and peers are many. The peers file
 * is what is changed; the daemon of the first host reads it as an operator's daemon would.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { parse } from "yaml";
import type { Overlay } from "../test/support/overlay.js";
import type { Weftd } from "../test/support/weftd.js";
import type { Ends } from "./bed.js";
import { Loader } from "./load.js";

const ROUTES = 10_000;
/** How far the second set starts behind the first: as far as the network goes. */
const ROUTES_APART = 2_000;
const PEERS = 1_000;
/** Well below what any subject carries: what is lost is lost by the replacement. */
const PER_SECOND = 20_000;
const MILLISECONDS = 8_000;

interface PeersFile {
  readonly nodes: readonly { readonly name: string }[];
}

/** Sends through a daemon that meanwhile gets 10 000 routes, and then others. */
export async function measureChurn(ends: Ends): Promise<Record<string, number>> {
  const { overlay, daemon } = weftOf(ends);
  const loader = await Loader.create(ends);
  const traffic = loader.send({ bytes: 64, flows: 16, run: 1 }, PER_SECOND, MILLISECONDS);
  const start = performance.now();
  await replaceOthers(overlay, daemon, 0, ROUTES);
  await replaceOthers(overlay, daemon, ROUTES_APART, ROUTES + 1);
  if (performance.now() - start > MILLISECONDS)
    throw new Error("the routes changed more slowly than traffic lasts");
  const { sent, received } = await traffic;
  await replaceOthers(overlay, daemon, 0, 0);
  await loader.stop();
  return { churnLost: sent - received };
}

/** The resident memory of a daemon with many peers. */
export async function measureMemory(ends: Ends): Promise<Record<string, number>> {
  const { overlay, daemon } = weftOf(ends);
  await replaceOthers(overlay, daemon, 0, PEERS);
  const status = await readFile(`/proc/${(await daemon.ask("/status")).pid}/status`, "utf8");
  await replaceOthers(overlay, daemon, 0, 0);
  return { residentMb: Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1]) / 1e3 };
}

function weftOf({ weft }: Ends): { readonly overlay: Overlay; readonly daemon: Weftd } {
  const [daemon] = weft?.daemons ?? [];
  if (weft === null || daemon === undefined) throw new Error("only weft has tables that can be changed here");
  return { overlay: weft.overlay, daemon };
}

/**
 * Writes the hosts of the bed and `count` others, numbered from `first`, each with a subnet of four addresses, and
 * waits until they are in force. `count` must not be what it was before.
 */
async function replaceOthers(
  { peersFile }: Overlay,
  daemon: Weftd,
  first: number,
  count: number,
): Promise<void> {
  const file = parse(await readFile(peersFile, "utf8")) as PeersFile;
  const others = Array.from({ length: count }, (_, i) => {
    const n = first + i;
    return {
      name: `other${n}`,
      address: `198.18.${n >> 8}.${n & 255}`,
      subnets: [`10.5.${64 + (n >> 6)}.${(n & 63) * 4}/30`],
    };
  });
  const nodes = [...file.nodes.filter(({ name }) => !name.startsWith("other")), ...others];
  await writeFile(`${peersFile}.new`, JSON.stringify({ ...file, nodes }));
  await rename(`${peersFile}.new`, peersFile);
  await daemon.peers(1 + count);
}
