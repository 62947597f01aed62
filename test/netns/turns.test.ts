/**
 * Flows take turns: what was sent last, by a flow that had nothing waiting, leaves before most of what another flow has
 * queued; and the queued ones keep their order. Held against what is on the wire, from a daemon that stood still while
 * all of it was sent, so that no timing is in it.
 */
import test from "ava";
import { Agent } from "../support/agent.js";
import { captureWire, tunnelDatagrams } from "../support/capture.js";
import { Bed } from "../support/hosts.js";
import { type Node, ports, startOverlay } from "../support/overlay.js";
import { viewOf } from "../support/packets.js";
import { freeze, until } from "../support/process.js";

const BULK = 1001;
const SPARSE = 1002;
/** More than a turn of 64 KiB, fewer than the daemon reads at once. */
const COUNT = 100;

test("a sparse flow's packet passes those that a bulk flow has queued", async (t) => {
  const format = "udp";
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const { nodes } = await startOverlay(bed, t.teardown, { format });
  const [{ host, weftd }] = nodes as [Node, Node];
  const capture = await captureWire(bed, t.teardown);
  const sender = await Agent.start(host.ns);
  await sender.do("udp-open", { address: "10.5.1.0", port: 5000 });
  const before = await weftd.counter("tx", "datagrams");

  await freeze(weftd.program, t.teardown);
  const send = (port: number, number: number): Promise<unknown> =>
    sender.do("udp-send", {
      address: "10.5.2.2",
      port,
      hex: number.toString(16).padStart(4, "0").padEnd(2400, "0"),
    });
  for (let i = 0; i < COUNT; i++) await send(BULK, i);
  await send(SPARSE, COUNT);
  weftd.program.signal("SIGCONT");
  await until("all were sent", async () =>
    (await weftd.counter("tx", "datagrams")) - before > COUNT ? true : null,
  );

  const datagrams = tunnelDatagrams(await capture.stop(), { format, port: ports[format], mtu: bed.mtu });
  const seen: { readonly port: number; readonly number: number }[] = [];
  for (const { inner } of datagrams) {
    if (inner?.protocol !== 17 || inner.payload.length < 10) continue;
    const payload = viewOf(inner.payload);
    if (payload.getUint16(0) === 5000)
      seen.push({ port: payload.getUint16(2), number: payload.getUint16(8) });
  }
  t.deepEqual(
    seen.filter(({ port }) => port === BULK).map(({ number }) => number),
    [...Array(COUNT).keys()],
  );
  const place = seen.findIndex(({ port }) => port === SPARSE);
  t.true(place > 0 && place < COUNT - 20, `${place + 1}. of ${seen.length}`);
});
