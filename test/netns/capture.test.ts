/**
 * `weft capture` on a daemon that carries packets and drops them: what its file says is what happened.
 *
 *     pod ─ host1: weftd, weft capture ── wire ── host2: weftd ─ pod
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { ask } from "../../src/cli/client.js";
import { Agent } from "../support/agent.js";
import { Bed } from "../support/hosts.js";
import { type Node, type Overlay, startOverlay } from "../support/overlay.js";
import { udp } from "../support/craft.js";
import { readPacket, viewOf } from "../support/packets.js";
import { type PcapngFile, type PcapngPacket, readPcapng } from "../support/pcapng.js";
import { Program, run, temporaryDirectory, until } from "../support/process.js";
import { iperf, mustPing, ping } from "../support/traffic.js";
import { mustBalance } from "../support/weftd.js";

const WEFT = fileURLToPath(new URL("../../src/weft.js", import.meta.url));

async function two(
  t: ExecutionContext,
  format: "udp" | "vxlan",
): Promise<{ readonly overlay: Overlay; readonly a: Node; readonly b: Node }> {
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const { overlay, nodes } = await startOverlay(bed, t.teardown, { format, ipv6: format === "vxlan" });
  const [a, b] = nodes as [Node, Node];
  return { overlay, a, b };
}

/** A `weft capture` that has begun, and its file. */
class Running {
  private constructor(
    readonly program: Program,
    readonly path: string,
  ) {}

  static async start(t: ExecutionContext, node: Node, ...args: readonly string[]): Promise<Running> {
    const path = join(await temporaryDirectory(t.teardown), "capture.pcapng");
    const command = [process.execPath, WEFT, "capture", "--run-dir", node.weftd.directory, "--write", path];
    const program = new Program([...command, ...args] as [string, ...string[]], t.teardown);
    await program.line(/^capturing/);
    return new Running(program, path);
  }

  /** Ends it as Ctrl-C does; returns the file. */
  async stop(t: ExecutionContext): Promise<PcapngFile> {
    this.program.signal("SIGINT");
    return this.finished(t);
  }

  /** Waits until it has ended by itself. */
  async finished(t: ExecutionContext): Promise<PcapngFile> {
    const { code } = await this.program.exited;
    t.is(code, 0, this.program.describe());
    const file = readPcapng(readFileSync(this.path));
    const lost = [...file.statistics.values()].reduce((sum, { dropped }) => sum + dropped, 0);
    t.is(this.program.stderr.at(-1), summary(file.packets.length, lost));
    return file;
  }
}

function summary(packets: number, lost: number): string {
  return `${packets} packet${packets === 1 ? "" : "s"} captured, ${lost} lost`;
}

const comments = (packets: readonly PcapngPacket[]): string[] =>
  packets.map(({ on, comment }) => `${on}: ${comment}`);

for (const format of ["udp", "vxlan"] as const) {
  test.serial(
    `${format}: a ping is shown at each step, with its fate and the outer headers of the wire`,
    async (t) => {
      const { a, b } = await two(t, format);
      await mustPing(a.pod.ns, b.pod.address, { count: 1 });
      const capture = await Running.start(t, a, "--address", b.pod.address);
      await mustPing(a.pod.ns, b.pod.address, { count: 2, size: 100 });
      const file = await capture.stop(t);
      const once = [
        "weft0 in: forwarded to 192.0.2.2 as 1 datagram",
        "eth0 out: sent to 192.0.2.2",
        "eth0 in: accepted from 192.0.2.2",
        "weft0 out: delivered",
      ];
      t.deepEqual(comments(file.packets), [...once, ...once]);
      t.deepEqual(
        file.packets.slice(0, 4).map(({ direction }) => direction),
        ["in", "out", "in", "out"],
      );
      const port = format === "udp" ? 8285 : 8472;
      for (const { on, bytes, length } of file.packets) {
        t.is(bytes.length, length);
        const packet = readPacket(bytes);
        t.deepEqual(packet.problems, [], on);
        const ends = [packet.source, packet.destination];
        if (on === "weft0 in") t.deepEqual([...ends, packet.ttl], [a.pod.address, b.pod.address, 63]);
        if (on === "weft0 out") t.deepEqual([...ends, packet.ttl], [b.pod.address, a.pod.address, 62]);
        if (!on.startsWith("eth0")) continue;
        t.deepEqual(ends, on === "eth0 out" ? ["192.0.2.1", "192.0.2.2"] : ["192.0.2.2", "192.0.2.1"]);
        const [from, to] = [viewOf(packet.payload).getUint16(0), viewOf(packet.payload).getUint16(2)];
        t.is(to, port);
        if (format === "udp") t.is(from, port);
        else t.true(from >= 49152, `from port ${from}`);
      }
      t.true(file.packets.every(({ timeNs }, i, all) => i === 0 || timeNs >= (all[i - 1]?.timeNs ?? 0n)));
      // Someone else's reader agrees, and takes VXLAN apart.
      const shown = await run("tcpdump", ["-nnv", "-r", capture.path]);
      t.is(shown.match(/ICMP echo/g)?.length, format === "udp" ? 4 : 8);
      t.is(statSync(capture.path).mode & 0o777, 0o600);
      await mustBalance(a.weftd, b.weftd);
    },
  );
}

test.serial("drops are shown with their reason, and filtered by it", async (t) => {
  const { a } = await two(t, "vxlan");
  const sender = await Agent.start(a.host.ns);
  const fields = { sourcePort: 4000, destinationPort: 5000 };
  const send = async (destination: string, ttl = 64, source = "10.5.1.0"): Promise<void> => {
    const packet = udp({ ...fields, source, destination, ttl }, Buffer.from("weft"));
    await sender.do("raw-send", { hex: Buffer.from(packet).toString("hex"), address: destination });
    await mustBalance(a.weftd);
  };
  const provoke = async (): Promise<void> => {
    await send("10.5.77.1");
    await send("10.5.2.9", 1);
    await send("10.5.2.9", 64, "127.0.0.1");
    await send("10.5.2.9");
  };
  const all = await Running.start(t, a, "--direction", "tx");
  await provoke();
  const file = await all.stop(t);
  // A router solicitation of the kernel's own may be among them.
  const unicast = comments(file.packets).filter((comment) => !comment.includes("bcast_mcast"));
  t.deepEqual(unicast, [
    "weft0 in: dropped: no_route – no lease covers the destination",
    "weft0 out: tells the sender of a packet that was dropped: no_route – no lease covers the destination",
    "weft0 in: dropped: ttl – TTL or hop limit used up",
    "weft0 out: tells the sender of a packet that was dropped: ttl – TTL or hop limit used up",
    "weft0 in: dropped: martian – source or destination address that may not appear here, such as loopback, or a source that is ours",
    "weft0 in: forwarded to 192.0.2.2 as 1 datagram",
    "eth0 out: sent to 192.0.2.2",
  ]);
  const ttl = await Running.start(t, a, "--reason", "ttl");
  await provoke();
  t.deepEqual(
    (await ttl.stop(t)).packets.map(({ on }) => on),
    ["weft0 in", "weft0 out"],
  );
});

test.serial(
  "what comes in and is not admitted is shown with its reason, by peer and by direction",
  async (t) => {
    const { a, b } = await two(t, "vxlan");
    const stranger = await Agent.start(b.host.ns);
    await b.host.ns.ip("addr add 192.0.2.99/24 dev eth0");
    await stranger.do("udp-open", { address: "192.0.2.99", port: 4242 });
    const strangers = await Running.start(t, a, "--peer", "192.0.2.99");
    const hex = "0800000000000100";
    await stranger.do("udp-send", { hex, address: "192.0.2.1", port: 8472 });
    await until("the drop", async () => ((await a.weftd.counter("rx", "unknown_peer")) === 1 ? true : null));
    await mustPing(a.pod.ns, b.pod.address);
    const { packets } = await strangers.stop(t);
    t.deepEqual(comments(packets), ["eth0 in: dropped: unknown_peer – outer source address is no peer's"]);
    const datagram = readPacket(packets[0]?.bytes ?? new Uint8Array());
    t.deepEqual([datagram.source, viewOf(datagram.payload).getUint16(0)], ["192.0.2.99", 4242]);
    t.is(Buffer.from(datagram.payload.subarray(8)).toString("hex"), hex);

    const received = await Running.start(t, a, "--direction=rx", "--peer=192.0.2.2", "--address=10.5.2.0/24");
    await mustPing(a.pod.ns, b.pod.address, { count: 1 });
    const rx = await received.stop(t);
    t.deepEqual(comments(rx.packets), ["eth0 in: accepted from 192.0.2.2", "weft0 out: delivered"]);
  },
);

test.serial("a capture ends at its bounds, by itself", async (t) => {
  const { a, b } = await two(t, "vxlan");
  const packets = await Running.start(t, a, "--packets", "3", "--snaplen", "64");
  await mustPing(a.pod.ns, b.pod.address, { count: 3 });
  const file = await packets.finished(t);
  t.is(file.packets.length, 3);
  t.true(file.interfaces.every(({ linkType, ticksPerSecond }) => linkType === 0 && ticksPerSecond === 1e9));
  t.true(file.packets.every(({ on, bytes }) => bytes.length <= 64 + (on.startsWith("eth0") ? 28 : 0)));
  t.true(file.packets.some(({ bytes, length }) => bytes.length < length));
  t.is((await run("tcpdump", ["-nn", "-r", packets.path])).match(/^\d\d:/gm)?.length, 3);
  const seconds = await Running.start(t, a, "--seconds", "1", "--address", "10.5.77.7");
  t.is((await seconds.finished(t)).packets.length, 0);
});

test.serial("one capture at a time; it stops with its client, its reader and its daemon", async (t) => {
  const { a, b } = await two(t, "vxlan");
  const first = await Running.start(t, a);
  const args = [WEFT, "capture", "--run-dir", a.weftd.directory];
  const second = await a.host.ns.tryRun(process.execPath, args);
  t.is(second.code, 1);
  t.regex(second.stderr, /^weft: weftd refused: a capture is running already; end it with Ctrl-C /);
  await first.program.stop("SIGKILL");
  const free = async (): Promise<boolean | null> =>
    (await ask(a.weftd.directory, "DELETE", "/capture").then(
      (answer) => (answer as { ended: boolean }).ended,
    ))
      ? null
      : true;
  await until("the end of the capture whose client was killed", free);
  // A reader that has seen enough.
  const command = `"${process.execPath}" "${WEFT}" capture --run-dir "${a.weftd.directory}" | head -c 100 >/dev/null`;
  const pipe = new Program(["bash", "-c", `set -o pipefail; ${command}`], t.teardown);
  await pipe.line(/^capturing/);
  await ping(a.pod.ns, b.pod.address);
  t.is((await pipe.exited).code, 0, pipe.describe());
  await until("the end of the capture whose reader left", free);

  const last = await Running.start(t, a);
  await mustPing(a.pod.ns, b.pod.address, { count: 1 });
  t.deepEqual(await a.weftd.stop(), { code: 0, signal: null });
  const { packets } = await last.finished(t);
  t.is(packets.filter(({ on }) => on === "eth0 in").length > 0, true);
});

test.serial("a capture under load neither stops the traffic nor loses without saying so", async (t) => {
  const { a, b } = await two(t, "vxlan");
  const capture = await Running.start(t, a, "--packets", "1000000", "--seconds", "120", "--snaplen", "65536");
  const { bitsPerSecond } = await iperf(b.pod.ns, a.pod.ns, a.pod.address, { seconds: 3 });
  const reverse = await iperf(b.pod.ns, a.pod.ns, a.pod.address, { seconds: 3, reverse: true });
  t.true(bitsPerSecond > 1e6 && reverse.bitsPerSecond > 1e6);
  const file = await capture.stop(t);
  t.true(file.packets.length > 1000);
  const shown = (name: string): number => {
    const number = file.interfaces.findIndex((each) => each.name === name);
    const { received = 0, dropped = 0 } = file.statistics.get(number) ?? {};
    t.is(received - dropped, file.packets.filter(({ on }) => on === name).length, name);
    return received;
  };
  // Whatever a worker saw is in the file or counted as lost; a few packets came before the capture and after it.
  const seen = {
    "weft0 in": ["tx", "packets"],
    "eth0 out": ["tx", "datagrams"],
    "eth0 in": ["rx", "packets"],
  } as const;
  for (const [name, [direction, counter]] of Object.entries(seen)) {
    const counted = await a.weftd.counter(direction, counter);
    t.true(Math.abs(counted - shown(name)) < 100, `${name}: ${shown(name)} of ${counted}`);
  }
  await mustBalance(a.weftd, b.weftd);
  await mustPing(a.pod.ns, b.pod.address);
});
