/**
 * Nodes come and go, and a daemon's JavaScript can stand still, while others talk: nothing of theirs is lost.
 *
 *     pod ─ cni0 ─ host1: weftd ── wire ── host2: weftd ─ cni0 ─ pod      numbered datagrams run between these two
 *                                   │
 *                                  host3: weftd ─ cni0 ─ pod             comes, talks, and leaves
 */
import test from "ava";
import { Agent, AgentError, Stream } from "../support/agent.js";
import { Bed } from "../support/hosts.js";
import { type Node, startOverlay } from "../support/overlay.js";
import { mustPing } from "../support/traffic.js";
import { Troublemaker } from "../support/troubled.js";

for (const format of ["udp", "vxlan"] as const) {
  test(`${format}: a third node joins and leaves, the other two lose nothing`, async (t) => {
    t.timeout(90_000);
    const bed = await Bed.create(t.teardown, { hosts: 2 });
    const { overlay, nodes } = await startOverlay(bed, t.teardown, { format });
    const [a, b] = nodes as [Node, Node];
    const streams = [
      await Stream.start(a.pod.ns, b.pod.ns, b.pod.address),
      await Stream.start(b.pod.ns, a.pod.ns, a.pod.address),
    ];

    const host = await bed.addHost();
    await overlay.addToFile(host);
    const third = await overlay.startNode(host);
    await Promise.all([a.weftd.peers(2), b.weftd.peers(2)]);
    await mustPing(third.pod.ns, a.pod.address);
    await mustPing(b.pod.ns, third.pod.address);

    t.deepEqual(await third.weftd.stop(), { code: 0, signal: null });
    await overlay.removeFromFile(host);
    await Promise.all([a.weftd.peers(1), b.weftd.peers(1)]);
    const asking = await Agent.start(a.pod.ns);
    const gone = asking.do("tcp-ask", { address: third.pod.address, port: 80 });
    t.regex((await t.throwsAsync(gone, { instanceOf: AgentError })).code, /^E(HOST|NET)UNREACH$/);

    for (const stream of streams) {
      await stream.received(100);
      const { sent, received, duplicates, reordered } = await stream.stop();
      t.deepEqual({ received, duplicates, reordered }, { received: sent, duplicates: 0, reordered: 0 });
    }
  });
}

test("JavaScript that stands still for 10 s delays no packet", async (t) => {
  t.timeout(60_000);
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const troublemaker = await Troublemaker.create(t.teardown);
  const { nodes } = await startOverlay(bed, t.teardown, { format: "vxlan" }, troublemaker.options);
  const [a, b] = nodes as [Node, Node];
  const stream = await Stream.start(a.pod.ns, b.pod.ns, b.pod.address);
  for (const { weftd } of nodes) troublemaker.cause(weftd.program.pid, "block 10000");
  await Promise.all(nodes.map(({ weftd }) => weftd.program.line(/^loop blocked/)));

  // Round trips and the stream go on while neither daemon can run a line of JavaScript.
  while (nodes.every(({ weftd }) => !weftd.program.stderr.includes("loop released"))) {
    await mustPing(a.pod.ns, b.pod.address, { count: 5 });
    await stream.received(100);
  }
  const { sent, received, duplicates, reordered } = await stream.stop();
  t.true(sent > 4000, `only ${sent} sent`);
  t.deepEqual({ received, duplicates, reordered }, { received: sent, duplicates: 0, reordered: 0 });
});
