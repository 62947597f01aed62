/**
 * The log names the first drop per peer and reason together with the flag that admits it, and with that flag the same
 * datagrams pass. An alias comes and goes with its peer.
 *
 *     host1: weftd (10.5.1.0/24) ── wire ── host2: a peer by hand (10.5.2.0/24) · host3: a stranger
 */
import test from "ava";
import { Agent } from "../support/agent.js";
import { Bed, type Host } from "../support/hosts.js";
import { Overlay, ports } from "../support/overlay.js";
import { udp } from "../support/craft.js";
import { until } from "../support/process.js";
import type { Weftd } from "../support/weftd.js";

const data = Buffer.from("weft");
const fields = { destination: "10.5.1.0", sourcePort: 4000, destinationPort: 4001, ttl: 9 } as const;
const legitimate = udp({ ...fields, source: "10.5.2.2" }, data);
/** From an address that nobody leases. */
const external = udp({ ...fields, source: "203.0.113.9" }, data);

/** Sends inner packets as host2, the peer, or host3, the stranger, in flannel's udp format. */
type Send = (from: "peer" | "stranger", packet: Uint8Array) => Promise<void>;

async function startSenders(bed: Bed): Promise<Send> {
  const open = async (host: Host): Promise<Agent> => {
    const agent = await Agent.start(host.ns);
    await agent.do("udp-open", { address: host.address, port: ports.udp });
    return agent;
  };
  const agents = { peer: await open(bed.host(2)), stranger: await open(bed.host(3)) };
  return async (from, packet) => {
    const target = { address: bed.host(1).address, port: ports.udp };
    await agents[from].do("udp-send", { ...target, hex: Buffer.from(packet).toString("hex") });
  };
}

function lines(weftd: Weftd, message: RegExp): Record<string, unknown>[] {
  return weftd.log().filter(({ msg }) => message.test(String(msg)));
}

test("what is dropped is logged once with the flag that admits it, and passes with the flag", async (t) => {
  const bed = await Bed.create(t.teardown, { hosts: 3 });
  const overlay = await Overlay.create(t.teardown, { format: "udp" });
  await overlay.addToFile(bed.host(1));
  await overlay.addToFile(bed.host(2));
  const send = await startSenders(bed);

  const strict = await overlay.startWeftd(bed.host(1));
  for (let i = 0; i < 3; i++) {
    await send("peer", external);
    await send("stranger", legitimate);
  }
  await send("peer", legitimate);
  await until("the legitimate packet", async () => (await strict.counter("rx", "forwarded")) === 1 || null);
  t.is(await strict.counter("rx", "spoofed"), 3);
  t.is(await strict.counter("rx", "unknown_peer"), 3);
  const told = await until("two warnings", () => {
    const found = lines(strict, /^packets from a .* are dropped/);
    return found.length >= 2 ? found : null;
  });
  t.is(told.length, 2);
  const [spoofed, unknown] = ["spoofed", "unknown_peer"].map((reason) =>
    told.find((line) => line["reason"] === reason),
  );
  t.like(spoofed, { level: "warn", peer: "host2", endpoint: "192.0.2.2" });
  t.regex(String(spoofed?.["msg"]), /from a peer are dropped: .*--accept-external/);
  t.like(unknown, { level: "warn", endpoint: "192.0.2.3" });
  t.regex(String(unknown?.["msg"]), /from a stranger are dropped: .*--peer-alias=/);
  await strict.stop();

  const args = ["--accept-external", "--peer-alias=192.0.2.3=192.0.2.2", "--accept-bridged"];
  const lenient = await overlay.startWeftd(bed.host(1), { args });
  await send("peer", external);
  await send("stranger", legitimate);
  await until("both packets", async () => (await lenient.counter("rx", "forwarded")) === 2 || null);
  t.deepEqual(lines(lenient, /dropped/), []);
  await lenient.program.line(/without effect in the udp format: --accept-bridged"/);
  const rows = (await lenient.ask("/peers")).map(({ node, address, rxPackets }) => [
    node,
    address,
    rxPackets,
  ]);
  t.deepEqual(rows, [
    ["host2", "192.0.2.2", 1],
    ["host2", "192.0.2.3", 1],
  ]);
});

test("an alias waits for its peer, says so once, and goes with it", async (t) => {
  const bed = await Bed.create(t.teardown, { hosts: 3 });
  const overlay = await Overlay.create(t.teardown, { format: "udp" });
  await overlay.addToFile(bed.host(1));
  const weftd = await overlay.startWeftd(bed.host(1), { args: ["--peer-alias=192.0.2.3=192.0.2.2"] });
  const waiting = /^peer alias not used: no peer has the public address 192\.0\.2\.2$/;
  const warnings = (count: number): Promise<true> =>
    until(`${count} warnings`, () => lines(weftd, waiting).length === count || null);
  const rows = (count: number): Promise<true> =>
    until(`${count} rows`, async () => (await weftd.ask("/peers")).length === count || null);

  await warnings(1);
  await overlay.addToFile(bed.host(2));
  await rows(2);
  await overlay.removeFromFile(bed.host(2));
  await rows(0);
  await warnings(2);
  t.pass();
});
