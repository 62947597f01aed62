/**
 * What the kernel drops in front of weft is counted, too: a daemon that stands still lets the TUN's queue run full, and
 * afterwards every packet that was sent was either read or is in the row of the lost ones.
 *
 *     host1: socket ── weft0 (queue of 10) ─ ✗ ─ weftd (stopped)
 */
import test from "ava";
import { Agent } from "../support/agent.js";
import { Bed } from "../support/hosts.js";
import { type Node, startOverlay } from "../support/overlay.js";
import { freeze, until } from "../support/process.js";

test("sent = in + lost in the TUN's queue", async (t) => {
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  // The kernel's own multicast reports would be counted as well.
  await bed.host(1).ns.sysctl({ "net.ipv6.conf.default.disable_ipv6": 1 });
  const { nodes } = await startOverlay(bed, t.teardown, { format: "udp" });
  const [{ host, weftd }] = nodes as [Node, Node];
  const counts = async (): Promise<{ entered: number; lost: number }> => ({
    entered: await weftd.counter("tx", "packets"),
    lost: await weftd.counter("tx", "tun_queue_lost"),
  });
  const sender = await Agent.start(host.ns);
  await sender.do("udp-open", { address: "10.5.1.0", port: 5000 });
  const before = await counts();
  t.is(before.lost, 0);
  await host.ns.ip("link set weft0 txqueuelen 10");

  await freeze(weftd.program, t.teardown);
  const sent = 100;
  for (let i = 0; i < sent; i++) {
    await sender.do("udp-send", { address: "10.5.2.2", port: 9, hex: "00".repeat(100) });
  }
  weftd.program.signal("SIGCONT");

  const { entered, lost } = await until("an account of every packet", async () => {
    const now = await counts();
    return now.entered - before.entered + now.lost >= sent ? now : null;
  });
  t.is(entered - before.entered + lost, sent);
  t.true(lost >= sent - 20, `${lost} lost`);
  const { traffic } = await weftd.ask("/status");
  t.is(traffic.tx.lost, lost);
});
