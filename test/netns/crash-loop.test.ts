/**
 * H7, H8 and a daemon that keeps ending: each life says in a few lines what is wrong, lives come less and less often, and
 * where there is something to carry packets with they flow all the time.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { recordFinding } from "../support/findings.js";
import { Bed } from "../support/hosts.js";
import { Ledger } from "../support/ledger.js";
import { Overlay } from "../support/overlay.js";
import { Service } from "../support/service.js";
import { mustPing } from "../support/traffic.js";

const LOOP_MS = 5000;
/** Three at once, then after waits of 100 ms, 200 ms, …; a busy machine has fewer. */
const MOST_LIVES = 12;
const MOST_LINES_A_LIFE = 4;

/** Lives and lines until now. */
function count(service: Service): { readonly lives: number; readonly lines: number } {
  const own = /^(main|ended|kept|dropped|reload)/;
  const lines = service.manager.stdout.filter((line) => !own.test(line));
  return { lives: service.lines(/^main /).length, lines: lines.length };
}

/** Lets the loop run for a while and holds it to its bounds. */
async function loop(t: ExecutionContext, service: Service, row: string, fault: string): Promise<void> {
  const before = count(service);
  await delay(LOOP_MS);
  const after = count(service);
  const lives = after.lives - before.lives;
  const lines = after.lines - before.lines;
  recordFinding({
    row,
    fault,
    test: "test/netns/crash-loop.test.ts",
    bound: `${MOST_LIVES} starts in ${LOOP_MS / 1000} s, ${MOST_LINES_A_LIFE} lines each`,
    measured: `${lives} starts, ${lines} lines`,
  });
  t.true(lives > 1 && lives <= MOST_LIVES, `${lives} lives`);
  t.true(lines <= (lives + 1) * MOST_LINES_A_LIFE, service.manager.describe());
}

for (const [row, fault, wrapper, hint] of [
  [
    "H7",
    "/dev/net/tun is missing",
    ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"],
    /there is no \/dev\/net\/tun/,
  ],
  ["H8", "CAP_NET_ADMIN is missing", ["setpriv", "--bounding-set=-net_admin"], /CAP_NET_ADMIN/],
] as const) {
  test(`${row}: a service whose host has what it needs no more says so and backs off: ${fault}`, async (t) => {
    t.timeout(60_000);
    const bed = await Bed.create(t.teardown, { hosts: 1 });
    const overlay = await Overlay.create(t.teardown, { format: "vxlan" });
    await overlay.addToFile(bed.host(1));
    const args = [`--registry=file:${overlay.peersFile}`];
    const service = await Service.launch(bed.host(1).ns, join(overlay.directory, "host1"), { args }, wrapper);
    await service.manager.line(hint);
    await loop(t, service, row, fault);
  });
}

test("a service that cannot start any more carries packets by what it knew, and is back when it can", async (t) => {
  t.timeout(90_000);
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const overlay = await Overlay.create(t.teardown, { format: "vxlan" });
  for (const host of bed.hosts) await overlay.addToFile(host);
  const other = await overlay.startNode(bed.host(2));
  const own = join(overlay.directory, "own.yaml");
  await writeFile(own, await readFile(overlay.peersFile));
  const args = [`--registry=file:${own}`];
  const service = await Service.start(bed.host(1).ns, join(overlay.directory, "host1"), { args });
  const pod = await bed.host(1).addPod(await service.weftd.podNetwork());
  await mustPing(pod.ns, other.pod.address, { count: 1 });

  const ledger = await Ledger.build(t.teardown);
  const stream = await ledger.start(pod.ns, other.pod.ns, other.pod.address, 7000, { perSecond: 1000 });
  const { pid } = service;
  await writeFile(own, "nodes: none\n");
  process.kill(pid, "SIGTERM");
  await loop(t, service, "H2", "a service's settings become wrong, and it ends again and again");
  await writeFile(own, await readFile(overlay.peersFile));
  await service.successor(pid);
  const { sent, delivered, duplicated } = await stream.stop();
  t.deepEqual({ delivered, duplicated }, { delivered: sent, duplicated: 0 });
  t.deepEqual(service.lines(/^dropped/), []);
});
