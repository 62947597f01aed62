/**
 * Where nobody is, the answer comes at once: connecting to a subnet that no node has fails with an ICMP error, for
 * pods and for the host itself; what a format cannot carry is dropped and counted.
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd ── wire ── host2: weftd ─ cni0 ─ pod          10.5.77.0/24: nobody
 */
import test from "ava";
import { Agent, AgentError } from "../support/agent.js";
import { Bed } from "../support/hosts.js";
import type { Namespace } from "../support/netns.js";
import { type Node, startOverlay } from "../support/overlay.js";
import { ping } from "../support/traffic.js";

/** How connecting to `address` fails. */
async function refusal(ns: Namespace, address: string): Promise<AgentError | null> {
  const agent = await Agent.start(ns);
  try {
    await agent.do("tcp-ask", { address, port: 80 });
    return null;
  } catch (error) {
    if (error instanceof AgentError) return error;
    throw error;
  }
}

for (const format of ["udp", "vxlan"] as const) {
  test(`${format}: connecting to a subnet that nobody has fails at once`, async (t) => {
    const ipv6 = format === "vxlan";
    const bed = await Bed.create(t.teardown, { hosts: 2 });
    const { nodes } = await startOverlay(bed, t.teardown, { format, ipv6 });
    const [a] = nodes as [Node, Node];
    for (const ns of [a.pod.ns, a.host.ns]) {
      for (const address of ipv6 ? ["10.5.77.1", "fd05:0:0:77::1"] : ["10.5.77.1"]) {
        const error = await refusal(ns, address);
        t.regex(error?.code ?? "", /^E(HOST|NET)UNREACH$/, `${address} from ${ns.name}`);
        t.true((error?.ms ?? Infinity) < 1000);
      }
    }
    t.true((await a.weftd.counter("tx", "no_route")) >= (ipv6 ? 4 : 2));
  });
}

test("IPv6 towards a node in udp format is dropped and counted", async (t) => {
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const { nodes } = await startOverlay(bed, t.teardown, { format: "udp" });
  const [a] = nodes as [Node, Node];
  await a.host.ns.sysctl({ "net.ipv6.conf.weft0.disable_ipv6": 0 });
  await a.host.ns.ip("addr add fd05:0:0:1::/128 dev weft0 nodad", "route add fd05::/48 dev weft0");
  const before = await a.weftd.counter("tx", "family");
  const { sent, received } = await ping(a.host.ns, "fd05:0:0:2::2", { count: 3 });
  t.is(received, 0);
  t.is(await a.weftd.counter("tx", "family"), before + sent);
});
