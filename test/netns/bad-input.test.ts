/**
 * What cannot work ends at once: one clear sentence, the right exit code, and nothing half set up, neither on the
 * host nor in etcd.
 *
 *     host1: weftd ── wire ── host2: etcd (where a test needs it)
 */
import { access, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { Agent } from "../support/agent.js";
import { startEtcd } from "../support/etcd.js";
import { Bed, type Host } from "../support/hosts.js";
import { Overlay, ports } from "../support/overlay.js";
import { mustPing } from "../support/traffic.js";
import { temporaryDirectory } from "../support/process.js";
import { Weftd, type WeftdOptions } from "../support/weftd.js";

interface Expected {
  readonly code: number;
  readonly says: RegExp;
}

/** Starts a daemon that must give up, and looks at what it leaves behind. */
async function mustGiveUp(
  t: ExecutionContext,
  host: Host,
  options: WeftdOptions,
  expected: Expected,
): Promise<void> {
  const weftd = await Weftd.launch(host.ns, await temporaryDirectory(t.teardown), options);
  const exit = await Promise.race([weftd.program.exited, weftd.ready(15_000).then(() => null)]);
  t.is(exit?.code, expected.code, weftd.program.describe());
  const sentences = weftd.program.stderr.filter((line) => !line.startsWith("npm "));
  t.regex(sentences.join("\n"), expected.says);
  t.is(sentences.length, 1, "one line, no stack");
  await t.throwsAsync(access(weftd.subnetFile), { code: "ENOENT" });
  t.is(await host.ns.run("ip", ["route", "show", "10.5.0.0/16"]), "");
}

async function withFile(t: ExecutionContext): Promise<{ host: Host; args: string[]; overlay: Overlay }> {
  const bed = await Bed.create(t.teardown, { hosts: 1 });
  const host = bed.host(1);
  const overlay = await Overlay.create(t.teardown, { format: "udp" });
  await overlay.addToFile(host);
  return { host, overlay, args: [`--registry=file:${overlay.peersFile}`] };
}

test("the UDP port is in use", async (t) => {
  const { host, args } = await withFile(t);
  const other = await Agent.start(host.ns);
  await other.do("udp-open", { address: "0.0.0.0", port: ports.udp });
  await mustGiveUp(t, host, { args }, { code: 1, says: /port 8285.*in use/ });
  t.is((await host.ns.tryRun("ip", ["link", "show", "weft0"])).code, 1);
});

test("the TUN device's name is taken", async (t) => {
  const { host, args } = await withFile(t);
  await host.ns.ip("link add weft0 type bridge");
  await mustGiveUp(t, host, { args }, { code: 1, says: /weft0/ });
  t.is((await host.ns.tryRun("ip", ["link", "show", "weft0"])).code, 0);
});

test("there is no /dev/net/tun", async (t) => {
  const { host, overlay } = await withFile(t);
  const directory = await temporaryDirectory(t.teardown);
  const weftd = await Weftd.launch(host.ns, directory, { args: [`--registry=file:${overlay.peersFile}`] }, [
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mount -t tmpfs none /dev/net && exec "$@"',
    "sh",
  ]);
  t.is((await weftd.program.exited).code, 1);
  t.regex(weftd.program.stderr.join("\n"), /\/dev\/net\/tun/);
});

test("CAP_NET_ADMIN is missing", async (t) => {
  const { host, overlay } = await withFile(t);
  const directory = await temporaryDirectory(t.teardown);
  const weftd = await Weftd.launch(host.ns, directory, { args: [`--registry=file:${overlay.peersFile}`] }, [
    "setpriv",
    "--bounding-set=-net_admin",
  ]);
  t.is((await weftd.program.exited).code, 1);
  t.regex(weftd.program.stderr.join("\n"), /root|CAP_NET_ADMIN/);
});

test("a second daemon leaves the first one alone", async (t) => {
  const { host, overlay } = await withFile(t);
  const { weftd } = await overlay.startNode(host);
  const second = await Weftd.launch(host.ns, weftd.directory, {
    args: [`--registry=file:${overlay.peersFile}`],
  });
  t.is((await second.program.exited).code, 1);
  t.regex(second.program.stderr.join("\n"), /already runs|running/);
  t.is((await weftd.ask("/status")).health.state, "ready");
  await mustPing(host.ns, "10.5.1.2");
});

test("a daemon whose device is deleted says so and ends, and the next one starts afresh", async (t) => {
  const { host, overlay } = await withFile(t);
  const { weftd } = await overlay.startNode(host);
  await host.ns.ip("link del weft0");
  t.is((await weftd.program.exited).code, 1);
  t.regex(weftd.program.stderr.join("\n"), /weft0 is gone/);
  const next = await overlay.startWeftd(host);
  t.is((await next.stop()).code, 0);
});

test("a line of the peers file is wrong", async (t) => {
  const { host } = await withFile(t);
  const directory = await temporaryDirectory(t.teardown);
  await mkdir(directory, { recursive: true });
  const file = join(directory, "peers.yaml");
  await writeFile(
    file,
    "network: 10.5.0.0/16\nbackend: { type: udp }\nnodes:\n  - { name: one, address: 192.0.2.300 }\n",
  );
  await mustGiveUp(t, host, { args: [`--registry=file:${file}`] }, { code: 2, says: /peers\.yaml.*4/ });
});

test("this host is not in the peers file", async (t) => {
  const { host, overlay, args } = await withFile(t);
  await overlay.removeFromFile(host);
  await mustGiveUp(t, host, { args }, { code: 2, says: /192\.0\.2\.1|node/ });
});

test("a flag is misspelt", async (t) => {
  const { host } = await withFile(t);
  await mustGiveUp(
    t,
    host,
    { args: ["--etcd-endpoint=http://127.0.0.1:1"] },
    { code: 2, says: /etcd-endpoints/ },
  );
});

test("no lease is claimed in etcd when the host cannot carry packets", async (t) => {
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const [host, etcdHost] = [bed.host(1), bed.host(2)];
  const etcd = await startEtcd(t.teardown, { netns: etcdHost.ns.name, address: etcdHost.address });
  await etcd.put("/coreos.com/network/config", '{"Network":"10.5.0.0/16"}');
  const args = [`--etcd-endpoints=${etcd.endpoint}`];

  await host.ns.ip("link add weft0 type bridge");
  await mustGiveUp(t, host, { args }, { code: 1, says: /weft0/ });
  await host.ns.ip("link del weft0");
  const other = await Agent.start(host.ns);
  await other.do("udp-open", { address: "0.0.0.0", port: ports.udp });
  await mustGiveUp(t, host, { args }, { code: 1, says: /port 8285.*in use/ });
  await other.do("udp-close", {});
  await host.ns.ip("route add 10.5.0.0/16 dev eth0");
  const weftd = await Weftd.launch(host.ns, await temporaryDirectory(t.teardown), { args });
  t.is((await weftd.program.exited).code, 1);
  t.regex(weftd.program.stderr.join("\n"), /10\.5\.0\.0\/16 is already routed to eth0/);
  t.deepEqual(await etcd.keys("/coreos.com/network/subnets/"), []);
});

test("an etcd that does not answer is named, and nothing is set up", async (t) => {
  const bed = await Bed.create(t.teardown, { hosts: 1 });
  const host = bed.host(1);
  const args = ["--etcd-endpoints=http://192.0.2.1:2379"];
  const weftd = await Weftd.launch(host.ns, await temporaryDirectory(t.teardown), { args });
  await weftd.program.line(/192\.0\.2\.1:2379.*(ECONNREFUSED|unreachable|refused)/i, 20_000);
  await t.throwsAsync(access(weftd.subnetFile), { code: "ENOENT" });
  t.is((await weftd.stop()).signal, null);
});
