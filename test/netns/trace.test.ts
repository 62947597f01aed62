/**
 * `weft trace` says of a packet what then happens to that packet: each case is asked first, then sent, and the counters
 * that it moves must be those that the answer names.
 *
 *     raw socket ── weft0, weftd on host1 ── wire ── host2: a socket in weft's place, 10.5.2.0/24
 */
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import type { CounterStatus, TraceStatus } from "../../src/observe/status.js";
import { Agent } from "../support/agent.js";
import { Bed } from "../support/hosts.js";
import { Overlay, ports, vni } from "../support/overlay.js";
import { udp } from "../support/craft.js";
import { tryRun, until } from "../support/process.js";
import type { Weftd } from "../support/weftd.js";

const WEFT = fileURLToPath(new URL("../../src/weft.js", import.meta.url));

interface Case {
  readonly source: string;
  readonly destination: string;
  readonly port?: number;
  readonly size?: number;
  /** What must become of it: a drop reason, or null. */
  readonly reason: string | null;
  /** What the sender must be told. */
  readonly told?: string;
}

const SENT: readonly Case[] = [
  { source: "10.5.1.0", destination: "10.5.2.9", reason: null },
  { source: "10.5.1.7", destination: "10.5.2.9", size: 1400, reason: null },
  { source: "198.51.100.1", destination: "10.5.2.9", reason: null },
  {
    source: "10.5.1.0",
    destination: "10.5.2.9",
    size: 1480,
    reason: "too_big",
    told: "fragmentation needed",
  },
  { source: "10.5.1.0", destination: "10.5.77.1", reason: "no_route", told: "network unreachable" },
  { source: "10.5.1.0", destination: "10.5.1.99", reason: "own_subnet", told: "host unreachable" },
  { source: "10.5.1.7", destination: "10.5.1.255", reason: "bcast_mcast" },
  { source: "127.0.0.1", destination: "10.5.2.9", reason: "martian" },
  { source: "10.5.2.5", destination: "10.5.3.9", reason: "spoofed" },
  { source: "192.0.2.2", destination: "10.5.3.9", reason: "spoofed" },
  { source: "10.5.1.0", destination: "192.0.2.3", reason: "nested", told: "administratively prohibited" },
];

const RECEIVED: readonly Case[] = [
  { source: "10.5.2.5", destination: "10.5.1.0", reason: null },
  { source: "10.5.2.5", destination: "10.5.1.0", size: 1400, reason: null },
  { source: "192.0.2.2", destination: "10.5.1.0", reason: null },
  { source: "10.5.2.5", destination: "10.5.1.255", reason: "bcast_mcast" },
  { source: "10.5.2.5", destination: "192.0.2.1", reason: "nested" },
];

/** What the accounts of a direction have gained; null when the packet was forwarded. */
function gained(before: readonly CounterStatus[], after: readonly CounterStatus[], direction: string) {
  return after
    .filter((row) => row.direction === direction && (row.kind === "drop" || row.kind === "forwarded"))
    .map(({ name, value }) => {
      const old = before.find((row) => row.direction === direction && row.name === name);
      return { name, more: value - (old?.value ?? 0) };
    })
    .filter(({ more }) => more !== 0);
}

async function ask(weftd: Weftd, args: readonly string[]): Promise<{ code: number; answer: TraceStatus }> {
  const all = [WEFT, "trace", "--run-dir", weftd.directory, "--json", ...args];
  const { code, stdout } = await tryRun(process.execPath, all);
  return { code, answer: JSON.parse(stdout) as TraceStatus };
}

/** Asks, sends, and compares. */
async function check(
  t: ExecutionContext,
  weftd: Weftd,
  direction: "tx" | "rx",
  { source, destination, port = 5000, size = 64, reason, told }: Case,
  send: (packet: Uint8Array) => Promise<unknown>,
): Promise<TraceStatus> {
  const start = await weftd.ask("/counters");
  const { code, answer } = await ask(weftd, [source, destination, "udp", `${port}`, "--size", `${size}`]);
  const before = await weftd.ask("/counters");
  const name = `${direction} ${source} → ${destination}`;
  t.deepEqual(gained(start, before, direction), [], `${name}: asking leaves no mark`);
  t.deepEqual([answer.direction, answer.reason, code], [direction, reason, reason === null ? 0 : 1], name);
  t.is(answer.verdict, reason === null ? "forwarded" : "dropped");
  if (direction === "tx") t.is(answer.reply?.replace(/,.*/, "") ?? null, told ?? null, name);
  const fields = { source, destination, sourcePort: 49152, destinationPort: port };
  await send(udp(fields, new Uint8Array(size - 28)));
  const moved = await until(`the fate of ${name}`, async () => {
    const rows = gained(before, await weftd.ask("/counters"), direction);
    return rows.length === 0 ? null : rows;
  });
  t.deepEqual(moved, [{ name: reason ?? "forwarded", more: 1 }], name);
  return answer;
}

for (const format of ["udp", "vxlan"] as const) {
  test.serial(`${format}: what trace says is what happens`, async (t) => {
    const bed = await Bed.create(t.teardown, { hosts: 3 });
    const overlay = await Overlay.create(t.teardown, { format });
    for (const host of bed.hosts) await overlay.addToFile(host);
    const [one, two] = [bed.host(1), bed.host(2)];
    const weftd = await overlay.startWeftd(one);
    await one.ns.sysctl({ "net.ipv6.conf.weft0.disable_ipv6": 1 });
    // So that packets reach weft which the kernel alone would not send there.
    await one.ns.ip("link set weft0 mtu 1500", "route add 192.0.2.3/32 dev weft0");

    const sender = await Agent.start(one.ns);
    const peer = await Agent.start(two.ns);
    await peer.do("udp-open", { address: two.address, port: ports[format] });
    for (const each of SENT) {
      const answer = await check(t, weftd, "tx", each, (packet) =>
        sender.do("raw-send", { hex: Buffer.from(packet).toString("hex"), address: each.destination }),
      );
      if (each.reason !== null) continue;
      const { hex } = await peer.datagram();
      t.deepEqual(answer.datagrams, [{ to: "192.0.2.2", size: 28 + hex.length / 2, tos: 0 }]);
    }

    const { macs } = await weftd.ask("/status");
    const peers = await weftd.ask("/peers");
    const ends = [macs[0], peers.find(({ address }) => address === two.address)?.mac];
    const ethernet = `${ends.join("").replaceAll(":", "")}0800`;
    const header = format === "udp" ? "" : `08000000${vni.toString(16).padStart(6, "0")}00${ethernet}`;
    for (const each of [...RECEIVED, { ...RECEIVED[0], port: ports[format], reason: "nested" } as Case]) {
      await check(t, weftd, "rx", each, (packet) =>
        peer.do("udp-send", {
          hex: header + Buffer.from(packet).toString("hex"),
          address: one.address,
          port: ports[format],
        }),
      );
    }
  });
}

test.serial(
  "trace tells the way in words, for both families, and what the kernel has against it",
  async (t) => {
    const bed = await Bed.create(t.teardown, { hosts: 2 });
    const overlay = await Overlay.create(t.teardown, { format: "vxlan", ipv6: true });
    for (const host of bed.hosts) await overlay.addToFile(host);
    const weftd = await overlay.startWeftd(bed.host(1));
    const trace = async (...args: readonly string[]): Promise<[number, string]> => {
      const all = [WEFT, "trace", "--run-dir", weftd.directory, ...args];
      const { code, stdout } = await bed.host(1).ns.tryRun(process.execPath, all);
      return [code, stdout];
    };
    t.deepEqual(await trace("10.5.1.2", "10.5.2.2", "tcp", "80"), [
      0,
      `forwarded: a packet of 40 bytes that leaves this host
  source        10.5.1.2: in this host's subnet 10.5.1.0/24
  destination   10.5.2.2: in 10.5.2.0/24, through 192.0.2.2 (host2)
  mtu           packets of 1450 bytes; the path is not known to carry less
  encapsulated  in VXLAN, VNI 1, to 192.0.2.2: 90 bytes with outer headers, TOS 0x00
`,
    ]);
    t.deepEqual(await trace("fd05:0:0:2::5", "fd05:0:0:1::", "--size", "100"), [
      0,
      `forwarded: a packet of 100 bytes that arrives at this host
  source       fd05:0:0:2::5: in fd05:0:0:2::/64, through 192.0.2.2 (host2)
  destination  fd05:0:0:1::: in this host's subnet fd05:0:0:1::/64
  received     a datagram from 192.0.2.2 (host2)
  delivered    to weft0: 100 bytes, for the host to route
`,
    ]);
    await bed.host(1).ns.sysctl({ "net.ipv4.ip_forward": 0 });
    const [code, text] = await trace("10.5.1.2", "10.5.77.2");
    t.is(code, 1);
    t.is(
      text,
      `dropped: a packet of 28 bytes that leaves this host
  source       10.5.1.2: in this host's subnet 10.5.1.0/24
  destination  10.5.77.2: no lease covers it
  dropped      no_route – no lease covers the destination
  told         the sender, by ICMP: network unreachable
  kernel       the host does not forward IPv4: pods are cut off until sysctl net.ipv4.ip_forward=1
`,
    );
  },
);
