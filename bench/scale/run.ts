/**
 * `npm run bench:scale`: what a daemon does with many leases and with many changes, and many nodes with one etcd.
 * Prints the rows of docs/scale.md; the exit code is 0 only when all bounds hold. With `--output FILE` the raw results
 * are kept, with `--markdown FILE` the rows of results that were kept are printed.
 */
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { readEnvironment } from "../environment.js";
import {
  measureBurst,
  measureChanges,
  measureCrowd,
  measureGrowth,
  measureStart,
  withCleanups,
} from "./measures.js";
import { ScaleNetwork } from "./network.js";
import { broken, markdown, type Results } from "./results.js";

const { values } = parseArgs({
  options: {
    leases: { type: "string", default: "10000" },
    changes: { type: "string", default: "200" },
    nodes: { type: "string", default: "1000" },
    /** Of a thousand changes a second; 0: left out. */
    minutes: { type: "string", default: "0" },
    output: { type: "string" },
    markdown: { type: "string" },
  },
});
const [leases, changes, nodes] = [Number(values.leases), Number(values.changes), Number(values.nodes)];

async function measure(): Promise<Results> {
  const environment = await readEnvironment();
  const few = await withCleanups(async (onCleanup) => {
    const network = await ScaleNetwork.start(onCleanup, 1);
    const { weftd } = await network.startDaemon();
    await weftd.peers(1);
    return network.memory(weftd);
  });
  const daemon = await withCleanups(async (onCleanup) => {
    const network = await ScaleNetwork.start(onCleanup, leases);
    const [weftd, start] = await measureStart(network, leases);
    const many = await network.memory(weftd);
    const idle = await measureChanges(network, weftd, changes, 1);
    const flood = await network.flood(weftd);
    const loaded = await measureChanges(network, weftd, changes, 2);
    await flood.stop();
    const burst = { changes: leases, ...(await measureBurst(network, weftd, leases, leases)) };
    const seconds = Number(values.minutes) * 60;
    const growth = seconds === 0 ? null : await measureGrowth(network, weftd, seconds);
    return { start, memory: { few, many }, idle, loaded, burst, growth };
  });
  const crowd = await measureCrowd(nodes);
  return { date: new Date().toISOString().slice(0, 10), environment, ...daemon, crowd };
}

if (values.markdown !== undefined) {
  console.log(markdown(JSON.parse(await readFile(values.markdown, "utf8")) as Results));
} else {
  const results = await measure();
  if (values.output !== undefined) await writeFile(values.output, `${JSON.stringify(results, null, 1)}\n`);
  console.log(markdown(results));
  for (const each of broken(results)) {
    console.error(`not held: ${each}`);
    process.exitCode = 1;
  }
}
