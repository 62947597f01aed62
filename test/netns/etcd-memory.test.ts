/**
 * C1: hosts whose etcd is away when they start: packets flow between pods by what the last run remembered, soon, and
 * what is wrong is said. Dual-stack, so that keys, values, memory and tables of both families are gone through.
 *
 *     pod ─ cni0 ─ host1: weftd ──┬── host3: etcd
 *     pod ─ cni0 ─ host2: weftd ──┘
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { EtcdBed } from "../support/etcd-bed.js";
import { PREFIX } from "../support/etcd-nodes.js";
import { recordFinding } from "../support/findings.js";
import { until } from "../support/process.js";
import { mustPing } from "../support/traffic.js";
import type { Weftd } from "../support/weftd.js";

const CONFIG = {
  Network: "10.5.0.0/16",
  EnableIPv6: true,
  IPv6Network: "fd05::/48",
  Backend: { Type: "vxlan" },
};
/** What a busy machine may add to the second that a start may take. */
const SLACK_MS = 4000;

test("C1: a node forwards both families from its memory while etcd is away, and follows etcd again", async (t) => {
  t.timeout(120_000);
  const net = await EtcdBed.start(t.teardown, CONFIG, { hosts: 2, underlay: "dual" });
  const { bed, etcd } = net;
  const [a, b] = await Promise.all([net.startNode(bed.host(1)), net.startNode(bed.host(2))]);
  await Promise.all([a.weftd.peers(1), b.weftd.peers(1)]);
  const reach = async (): Promise<void> => {
    await mustPing(a.pod.ns, b.pod.address);
    if (b.pod.address6 === null) throw new Error("the pod has no IPv6 address");
    await mustPing(a.pod.ns, b.pod.address6);
  };
  await reach();
  const subnets = await a.weftd.podNetwork();
  const peer = (await b.weftd.ask("/status")).subnets[0]?.replace("/", "-") ?? "";
  await until("the peer is remembered", async () => {
    const memory = await readFile(join(a.weftd.directory, "etcd-memory"), "utf8").catch(() => "");
    return memory.includes(peer) ? true : null;
  });

  /** Crashes the node, starts it again, and says after how many milliseconds packets can flow. */
  const startAgain = async (before: Weftd): Promise<[Weftd, number]> => {
    await before.program.stop("SIGKILL");
    const startedAt = performance.now();
    const again = await net.launch(a.host);
    const status = await until("packets can flow", async () => {
      const answer = await again.ask("/status").catch(() => null);
      return answer?.health.state === "degraded" ? answer : null;
    });
    const tookMs = performance.now() - startedAt;
    t.regex(status.health.reasons.join(), /stale: etcd has not answered/);
    t.deepEqual(await again.podNetwork(), subnets);
    t.true(tookMs < 1000 + SLACK_MS, `${tookMs} ms`);
    await reach();
    return [again, Math.round(tookMs)];
  };
  etcd.signal("SIGSTOP");
  const [first, silentMs] = await startAgain(a.weftd);
  await etcd.stop();
  const [again, refusedMs] = await startAgain(first);
  recordFinding({
    row: "C1",
    fault: "etcd refuses connections, or takes them and is silent, when the daemon starts",
    test: t.title,
    bound: "forwarding 1 s after the start of the process",
    measured: `${refusedMs} ms refused, ${silentMs} ms silent`,
  });

  await etcd.start();
  await again.ready();
  t.is((await etcd.keys(`${PREFIX}/subnets/`)).length, 2);
  await reach();
});
