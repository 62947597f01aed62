/**
 * The kernel's VXLAN device as a judge of the model, and so of the core, which does what the model does: what the
 * device sends the model must take apart to exactly what went into the device, and what the core sends the device must
 * take apart to exactly what the model says was in it.
 *
 *     host1: a plain socket, which hands datagrams to and from model and core ── wire ── host2: flannel.1 ─ cni0 ─ pod
 *                                                                              tcpdump ▲
 */
import test from "ava";
import fc from "fast-check";
import { peerMac as farMac, worldOf } from "../differential/captures.js";
import { buildCore, Core } from "../differential/core.js";
import { compare } from "../differential/compare.js";
import { makePacket, packetPlan } from "../differential/packets.js";
import { coreAnswer, resetRequest, type Scenario, type Step, stepRequest } from "../differential/steps.js";
import { ip } from "../support/addresses.js";
import { Agent, AgentError } from "../support/agent.js";
import { Capture } from "../support/capture.js";
import { Bed, type Host as BedHost, type Pod } from "../support/hosts.js";
import { startKernelVtep } from "../support/kernel-vtep.js";
import { type Bytes, hex } from "../support/model/bytes.js";
import { Host } from "../support/model/host.js";
import { writeIp } from "../support/model/ip.js";
import { noOffload } from "../support/model/transport.js";
import { type OnCleanup, until } from "../support/process.js";

const SEED = 1;
const nearMac = "02:00:00:00:00:01";
const [vni, port, mtu] = [1, 8472, 1450];

const address = (text: string): Bytes => Uint8Array.from(ip(text).bytes);

const world = worldOf({ format: "vxlan", mtu, mac4: nearMac, mac6: nearMac });

const settings = { format: "vxlan", coalesce: false, coalesceUdp: false } as const;

/** The device and a pod behind it, with nothing that joins or splits packets on their way; and host1's socket. */
async function start(onCleanup: OnCleanup): Promise<{ far: BedHost; pod: Pod; socket: Agent }> {
  const bed = await Bed.create(onCleanup, { hosts: 2 });
  const far = bed.host(2);
  const subnets = (n: number): string[] => [`10.5.${n}.0/24`, `fd05:0:0:${n}::/64`];
  const { pod } = await startKernelVtep(
    far,
    { address: far.address, mac: farMac, subnets: subnets(2) },
    [{ address: bed.host(1).address, mac: nearMac, subnets: subnets(1) }],
    { vni, port, variant: "static", mtu },
  );
  const off = ["tx", "tso", "gso", "gro"].flatMap((feature) => [feature, "off"]);
  await far.ns.run("ethtool", ["-K", "flannel.1", ...off]);
  await pod.ns.run("ethtool", ["-K", "eth0", ...off]);
  const socket = await Agent.start(bed.host(1).ns);
  await socket.do("udp-open", { address: "0.0.0.0", port });
  return { far, pod, socket };
}

/** Packets of all kinds, from one of host1's pods to one of host2's or the other way round. */
function packets(from: Bytes, to: Bytes, from6: Bytes, to6: Bytes): Bytes[] {
  return fc
    .sample(packetPlan, { seed: SEED, numRuns: 200 })
    .map((plan) =>
      makePacket({ ...plan, length: plan.length % 1100 }, plan.v6 ? from6 : from, plan.v6 ? to6 : to),
    )
    .map(writeIp);
}

test("what the kernel's device sends, the model takes apart to what went in", async (t) => {
  const { far, pod, socket } = await start(t.teardown);
  const sender = await Agent.start(pod.ns);
  const towardsUs = "dst net 10.5.1.0/24 or dst net fd05:0:0:1::/64";
  const capture = await Capture.start(far.ns, "flannel.1", towardsUs, t.teardown);
  const [near, near6] = ["10.5.1.2", "fd05:0:0:1::2"];
  const sent = packets(address(pod.address), address(near), address(pod.address6 ?? ""), address(near6));
  for (const packet of sent) {
    const destination = (packet[0] ?? 0) >> 4 === 6 ? near6 : near;
    // Some, as with malformed options, the kernel does not let a pod send.
    await sender.do("raw-send", { hex: hex(packet), address: destination }).catch((error: unknown) => {
      if (!(error instanceof AgentError)) throw error;
    });
  }
  // The last one: everything before it has passed when it has.
  await sender.do("udp-open", { address: pod.address, port: 7000 });
  await sender.do("udp-send", { hex: hex(Buffer.from("the last")), address: near, port: 7000 });
  const datagrams: string[] = [];
  await until("the last datagram", async () => {
    for (const each of await socket.do("udp-take", {})) datagrams.push(each.hex);
    return datagrams.at(-1)?.endsWith(hex(Buffer.from("the last"))) === true ? true : null;
  });

  const model = new Host(settings);
  model.setWorld(world);
  for (const datagram of datagrams) {
    const data = Uint8Array.from(Buffer.from(datagram, "hex"));
    const verdicts = model.rx({ source: address(far.address), data, groSize: 0, tos: 0 });
    t.deepEqual(verdicts, [{ verdict: null, length: data.length }]);
  }
  const inner = model.flush().written.map(({ data }) => hex(data));
  t.true(inner.length > 150);
  t.deepEqual(inner, (await capture.stop(inner.length)).map(hex));
});

test("what the core sends, the kernel's device takes apart to what the model says", async (t) => {
  const { far, pod, socket } = await start(t.teardown);
  const capture = await Capture.start(far.ns, "flannel.1", `ether src ${nearMac}`, t.teardown);
  const core = await Core.start(await buildCore(), t.teardown);
  const data = packets(
    address("10.5.1.2"),
    address(pod.address),
    address("fd05:0:0:1::2"),
    address(pod.address6 ?? ""),
  );
  const steps = data.map((packet): Step => ({ kind: "tx", data: packet, offload: noOffload }));
  const scenario: Scenario = { settings, datagrams: 64, steps: [{ kind: "tables", world }, ...steps] };
  t.is((await compare(core, scenario)).difference, null);

  const flush: Step = { kind: "flush" };
  const requests = [...scenario.steps, flush].map(stepRequest);
  const responses = await core.exchange([resetRequest(scenario), ...requests, Buffer.from("S")]);
  const frames: string[] = [];
  for (const line of coreAnswer(flush, responses.at(-2) ?? Buffer.alloc(0), core.reasons)) {
    const datagram = line.slice(line.lastIndexOf(" ") + 1);
    await socket.do("udp-send", { hex: datagram, address: far.address, port });
    // Behind the VXLAN header.
    frames.push(datagram.slice(16));
  }
  t.true(frames.length > 150);
  await until("all frames", async () => {
    const statistics = await far.ns.run("ip", ["-s", "-j", "link", "show", "flannel.1"]);
    const [device] = JSON.parse(statistics) as [{ stats64: { rx: { packets: number } } }];
    return device.stats64.rx.packets >= frames.length ? true : null;
  });
  t.deepEqual((await capture.stopWhole(frames.length)).map(hex), frames);
});
