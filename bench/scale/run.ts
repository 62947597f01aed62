/**
 * `npm run bench:scale`: what a daemon does with many leases and with many changes, and many nodes with one etcd.
 * Prints the rows of docs/scale.md; the exit code is 0 only when all bounds hold. With `--output FILE` the raw results
 * are kept, with `--markdown FILE` the rows of results that were kept are printed. `--into FILE --minutes N` measures
 * the growth of memory alone, which takes so long and no quiet machine, and puts it into results that were kept.
 */
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { readEnvironment } from "../environment.js";
import {
  measureBurst,
  measureChanges,
  measureCrowd,
  measureGrowth,
  measureMemory,
  measureStart,
  withCleanups,
} from "./measures.js";
import { ScaleNetwork } from "./network.js";
import { broken, type Growth, markdown, type Results } from "./results.js";

const { values } = parseArgs({
  options: {
    leases: { type: "string", default: "10000" },
    changes: { type: "string", default: "200" },
    nodes: { type: "string", default: "1000" },
    /** Of a thousand changes a second; 0: left out. */
    minutes: { type: "string", default: "0" },
    output: { type: "string" },
    into: { type: "string" },
    markdown: { type: "string" },
  },
});
const [leases, changes, nodes] = [Number(values.leases), Number(values.changes), Number(values.nodes)];
const seconds = Number(values.minutes) * 60;

async function measure(): Promise<Results> {
  const environment = await readEnvironment();
  const memory = { udp: await measureMemory("udp", leases), vxlan: await measureMemory("vxlan", leases) };
  const daemon = await withCleanups(async (onCleanup) => {
    const network = await ScaleNetwork.start(onCleanup, leases);
    const [weftd, start] = await measureStart(network, leases);
    const idle = await measureChanges(network, weftd, changes, 1);
    const flood = await network.flood(weftd);
    const loaded = await measureChanges(network, weftd, changes, 2);
    await flood.stop();
    const burst = { changes: leases, ...(await measureBurst(network, weftd, leases, leases)) };
    const growth = seconds === 0 ? null : await measureGrowth(network, weftd, seconds);
    return { start, idle, loaded, burst, growth };
  });
  const crowd = await measureCrowd(nodes);
  return { date: new Date().toISOString().slice(0, 10), environment, memory, ...daemon, crowd };
}

/** The growth alone, with a daemon of its own. */
function measureGrowthAlone(): Promise<Growth> {
  return withCleanups(async (onCleanup) => {
    const network = await ScaleNetwork.start(onCleanup, leases);
    const [weftd] = await measureStart(network, leases);
    return measureGrowth(network, weftd, seconds);
  });
}

async function readResults(file: string): Promise<Results> {
  return JSON.parse(await readFile(file, "utf8")) as Results;
}

if (values.markdown !== undefined) {
  console.log(markdown(await readResults(values.markdown)));
} else {
  const { into, output = into } = values;
  const results =
    into === undefined
      ? await measure()
      : { ...(await readResults(into)), growth: await measureGrowthAlone() };
  if (output !== undefined) await writeFile(output, `${JSON.stringify(results, null, 1)}\n`);
  console.log(markdown(results));
  for (const each of broken(results)) {
    console.error(`not held: ${each}`);
    process.exitCode = 1;
  }
}
