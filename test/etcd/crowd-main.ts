/**
 * `npm run test:crowd -- --nodes N`: N nodes (1000 unless told otherwise) of a /12 start at once against a real etcd.
 * Prints what was measured; the exit code is 0 only if every node got a subnet of its own within `--seconds` (60).
 */
import { parseArgs } from "node:util";
import { startTogether } from "../support/crowd.js";
import { startEtcd } from "../support/etcd.js";
import { PREFIX } from "../support/etcd-nodes.js";

const { values } = parseArgs({
  options: { nodes: { type: "string", default: "1000" }, seconds: { type: "string", default: "60" } },
});
const count = Number(values.nodes);
const cleanups: (() => Promise<void> | void)[] = [];
const onCleanup = (cleanup: () => Promise<void> | void): void => void cleanups.push(cleanup);
try {
  const etcd = await startEtcd(onCleanup);
  await etcd.put(`${PREFIX}/config`, '{"Network":"10.0.0.0/12"}');
  const { leases, seconds, requests, conflicts } = await startTogether(onCleanup, etcd, count);
  const subnets = new Set(leases.map(({ key }) => key)).size;
  const total = Object.values(requests).reduce((sum, number) => sum + number, 0);
  console.log(`${count} nodes, ${subnets} subnets, ${seconds.toFixed(1)} s, ${conflicts} conflicts`);
  console.log(`${(total / count).toFixed(2)} requests per start: ${JSON.stringify(requests)}`);
  if (subnets < count || seconds > Number(values.seconds)) process.exitCode = 1;
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
