/**
 * What threads and source ports must not change: with one worker or two, every packet of several flows arrives once and
 * in the order of its flow, in both directions at a time; and in VXLAN each flow keeps to one source port. With
 * bulk, workers go before ordinary programs, where the host allows it.
 */
import test from "ava";
import { captureWire, type Encapsulated, tunnelDatagrams } from "../support/capture.js";
import { Bed } from "../support/hosts.js";
import { Ledger } from "../support/ledger.js";
import { type Node, ports, startOverlay } from "../support/overlay.js";
import { viewOf } from "../support/packets.js";
import { tryRun, until, workerOf } from "../support/process.js";
import { iperf } from "../support/traffic.js";

const FLOWS = 8;

for (const { format, workers } of [
  { format: "udp", workers: 2 },
  { format: "vxlan", workers: 2 },
  { format: "vxlan", workers: 1 },
] as const) {
  test.serial(`${format}, ${workers} workers: flows keep their order and their port`, async (t) => {
    t.timeout(60_000);
    const bed = await Bed.create(t.teardown, { hosts: 2 });
    const args = [`--workers=${workers}`];
    const { nodes } = await startOverlay(bed, t.teardown, { format }, { args });
    const [a, b] = nodes as [Node, Node];
    t.is((await a.weftd.ask("/status")).workers, workers);

    const capture = await captureWire(bed, t.teardown);
    const ledger = await Ledger.build(t.teardown);
    const options = { perSecond: 3000, flows: FLOWS };
    const streams = await Promise.all([
      ledger.start(a.pod.ns, b.pod.ns, b.pod.address, 7000, options),
      ledger.start(b.pod.ns, a.pod.ns, a.pod.address, 7000, options),
    ]);
    await iperf(a.pod.ns, b.pod.ns, b.pod.address, { megabytes: 40 });
    await iperf(b.pod.ns, a.pod.ns, a.pod.address, { megabytes: 40 });
    for (const stream of streams) {
      const { sent, delivered, duplicated, corrupt, reordered } = await stream.stop();
      t.true(sent > 500, `${sent} sent`);
      t.deepEqual(
        { delivered, duplicated, corrupt, reordered },
        { delivered: sent, duplicated: 0, corrupt: 0, reordered: 0 },
      );
    }

    const datagrams = tunnelDatagrams(await capture.stop(), { format, port: ports[format], mtu: bed.mtu });
    const used = new Map<string, Set<number>>();
    for (const datagram of datagrams) {
      const flow = flowOf(datagram);
      if (flow !== null) used.set(flow, (used.get(flow) ?? new Set()).add(datagram.sourcePort));
    }
    t.true(used.size >= 2 * FLOWS);
    for (const [flow, sourcePorts] of used) t.is(sourcePorts.size, 1, flow);
    const all = new Set([...used.values()].flatMap((each) => [...each]));
    if (format === "udp") t.deepEqual([...all], [ports.udp]);
    else t.true(all.size > 4 && [...all].every((port) => port >= 49152), [...all].join(" "));
  });
}

const SCHED_OTHER = 0;
const SCHED_RR = 2;

for (const realtime of [true, false]) {
  test.serial(`--realtime=${realtime}: the priority of workers`, async (t) => {
    const bed = await Bed.create(t.teardown, { hosts: 2 });
    const args = [`--realtime=${realtime}`];
    const { nodes } = await startOverlay(bed, t.teardown, { format: "vxlan" }, { args });
    const [a, b] = nodes as [Node, Node];
    const allowed = (await tryRun("chrt", ["--rr", "1", "true"])).code === 0;
    const status = await a.weftd.ask("/status");
    t.is(status.realtime, realtime && allowed);

    const policies = new Set<number>();
    const transfer = iperf(a.pod.ns, b.pod.ns, b.pod.address, { megabytes: 200 }).then(() => true);
    await until("the end of the transfer", () => {
      policies.add(workerOf(status.pid).policy);
      return Promise.race([transfer, Promise.resolve(null)]);
    });
    t.is(policies.has(SCHED_RR), status.realtime, [...policies].join(" "));

    await until("ordinary priority without load", () =>
      workerOf(status.pid).policy === SCHED_OTHER ? true : null,
    );
  });
}

/** Addresses, protocol and ports of what a datagram carries; null for what has none. */
function flowOf({ inner }: Encapsulated): string | null {
  if (inner === null || inner.fragment || inner.payload.length < 4) return null;
  const { source, destination, protocol, payload } = inner;
  return `${source} ${destination} ${protocol} ${viewOf(payload).getUint32(0)}`;
}
