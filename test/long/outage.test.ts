/**
 * C2 at length: what a daemon costs while etcd is away for minutes (WEFT_TEST_MINUTES), whether it refuses, is silent or
 * has lost its name, and that each is found again afterwards.
 *
 *     pod ─ cni0 ─ host1: weftd ──┬── host4: etcd, with the name etcd.test
 *     host2: weftd ───────────────┤
 *     host3: weftd ───────────────┘
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test from "ava";
import { recordTime } from "../support/bounds.js";
import { EtcdBed } from "../support/etcd-bed.js";
import { recordFinding } from "../support/findings.js";
import type { Host } from "../support/hosts.js";
import type { Namespace } from "../support/netns.js";
import { until } from "../support/process.js";
import { mustPing } from "../support/traffic.js";

const MINUTES = Number(process.env["WEFT_TEST_MINUTES"] ?? 10);
const LINES_PER_HOUR = 20;
/** A name is looked up for up to 5 s, also when it has come back meanwhile, and then again. */
const FOUND_MS = [5000, 5000, 10_000];

/** Lets etcd's port answer with resets, or nothing come out that goes there. */
async function block({ ns }: Host, verdict: "reject with tcp reset" | "drop"): Promise<void> {
  await ns.nft(`table inet outage {
    chain out {
      type filter hook output priority 0;
      tcp dport 2379 ${verdict}
    }
  }`);
}

/** What names the processes of a namespace know (ip-netns(8): files there stand in for those in /etc). */
class Names {
  private constructor(private readonly directory: string) {}

  static async create({ name, onCleanup }: Namespace): Promise<Names> {
    const directory = join("/etc/netns", name);
    await mkdir(directory, { recursive: true });
    onCleanup(() => rm(directory, { recursive: true }));
    const names = new Names(directory);
    // Who is asked for other names is not there.
    await writeFile(join(directory, "resolv.conf"), "nameserver 192.0.2.200\n");
    return names;
  }

  async set(hosts: string): Promise<void> {
    await writeFile(join(this.directory, "hosts"), hosts);
  }
}

test(`C2: an etcd that is away for ${MINUTES} minutes costs next to no CPU and log, however it is away`, async (t) => {
  t.timeout((MINUTES + 3) * 60_000);
  const net = await EtcdBed.start(t.teardown, { Network: "10.5.0.0/16" }, { hosts: 3 });
  const [refused, silent, nameless] = [net.bed.host(1), net.bed.host(2), net.bed.host(3)];
  const names = await Names.create(nameless.ns);
  await names.set(`${net.bed.host(4).address} etcd.test\n`);
  const nodes = await Promise.all([
    net.startNode(refused),
    net.startNode(silent),
    net.startNode(nameless, { args: ["--etcd-endpoints=http://etcd.test:2379"] }),
  ]);
  for (const { weftd } of nodes) await weftd.peers(2);
  const kinds = [
    "it refuses connections",
    "it is silent, in the midst of connections",
    "its name is not found",
  ];
  const before = nodes.map(({ weftd }) => weftd.log().length);

  await names.set("");
  await block(refused, "reject with tcp reset");
  await block(silent, "drop");
  await block(nameless, "reject with tcp reset");
  for (const { weftd } of nodes) {
    await until(
      "the loss is noticed",
      async () => ((await weftd.ask("/status")).registry.connected ? null : true),
      30_000,
    );
  }
  t.not((await nameless.ns.tryRun("getent", ["hosts", "etcd.test"])).code, 0);
  const from = nodes.map(({ weftd }) => weftd.program.cpuSeconds);
  await delay(MINUTES * 60_000);
  const shares = nodes.map(({ weftd }, n) => (weftd.program.cpuSeconds - (from[n] ?? 0)) / (MINUTES * 60));
  const lines = nodes.map(({ weftd }, n) => weftd.log().slice(before[n]));
  await mustPing(nodes[0].pod.ns, nodes[1].pod.address);

  await names.set(`${net.bed.host(4).address} etcd.test\n`);
  for (const { ns } of [refused, silent, nameless]) await ns.nft("delete table inet outage");
  const begin = performance.now();
  const took = await Promise.all(
    nodes.map(async ({ weftd }) => {
      const found = async (): Promise<true | null> =>
        (await weftd.ask("/status")).registry.connected ? true : null;
      await until("etcd is found again", found, 15_000);
      return performance.now() - begin;
    }),
  );
  for (const [n, kind] of kinds.entries()) {
    const share = shares[n] ?? NaN;
    const said = lines[n]?.map((line) => JSON.stringify(line)) ?? [];
    t.log(kind, ...said);
    t.true(share < 0.02, `${kind}: ${share} of a CPU`);
    // Those that tell of the beginning are a handful; an hour's worth never comes in less time.
    t.true(said.length <= LINES_PER_HOUR, kind);
    recordFinding({
      row: "C2",
      fault: `etcd is away for ${MINUTES} minutes: ${kind}`,
      test: t.title,
      bound: `2 % of a CPU, ${LINES_PER_HOUR} lines of log an hour`,
      measured: `${(100 * share).toFixed(2)} % of a CPU, ${said.length} lines in all`,
    });
    recordTime(
      t,
      { row: "C2", fault: `etcd comes back: ${kind}`, boundMs: FOUND_MS[n] ?? 0 },
      took[n] ?? NaN,
    );
  }
});
