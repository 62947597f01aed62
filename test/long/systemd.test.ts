/**
 * The service under a real systemd: installed, started, reloaded, restarted, killed, upgraded and rebooted, with
 * traffic between pods that is counted from outside. `npm run test:long`; needs Debian's debootstrap and
 * systemd-container, and the first time its archive.
 *
 *     pod ─ cni0 ─ host1: weftd ── wire ── host2: systemd ─ weftd.service ─ cni0 ─ pod
 *                                          (a container in host2's network namespace)
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { ask } from "../../src/cli/client.js";
import type { Status } from "../../src/observe/status.js";
import { Bed, type Pod } from "../support/hosts.js";
import { Ledger, type StreamAccount } from "../support/ledger.js";
import { Machine } from "../support/machine.js";
import { Overlay } from "../support/overlay.js";
import { until } from "../support/process.js";
import { mustPing } from "../support/traffic.js";
import { parsePodNetwork } from "../support/weftd.js";

const PER_SECOND = Number(process.env["WEFT_RATE"] ?? 10_000);
const RELOADS = Number(process.env["WEFT_TIMES"] ?? 3);
/** Packets that a worker has in hand at most. */
const BATCH = 128;
const LEDGER_PORT = 7000;

/** Two pods whose traffic goes through a daemon of ours and one that is a service of `machine`. */
interface Service {
  readonly machine: Machine;
  readonly pods: readonly [Pod, Pod];
  readonly ledger: Ledger;
}

async function startService(t: ExecutionContext): Promise<Service> {
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const overlay = await Overlay.create(t.teardown, { format: "vxlan" });
  for (const host of bed.hosts) await overlay.addToFile(host);
  const one = await overlay.startNode(bed.host(1));

  const machine = await Machine.create(bed.host(2).ns, t.teardown);
  await machine.install();
  await machine.write("/etc/weft/peers.yaml", await readFile(overlay.peersFile, "utf8"));
  await machine.write("/etc/default/weftd", "WEFT_REGISTRY=file:/etc/weft/peers.yaml\n");
  await machine.boot();
  await machine.run("weft", ["install-service"]);
  // Returns when the service says that packets can flow.
  await machine.run("systemctl", ["start", "weftd"]);
  t.is((await statusOf(machine)).health.state, "ready");
  const network = parsePodNetwork(await machine.run("cat", ["/run/flannel/subnet.env"]));
  const pods = [one.pod, await bed.host(2).addPod(network)] as const;
  await mustPing(pods[0].ns, pods[1].address);
  return { machine, pods, ledger: await Ledger.build(t.teardown) };
}

async function statusOf(machine: Machine): Promise<Status> {
  return (await ask(machine.inside("/run/weft"), "GET", "/status")) as Status;
}

async function property(machine: Machine, name: string): Promise<string> {
  const line = await machine.run("systemctl", ["show", "weftd", `--property=${name}`, "--value"]);
  return line.trim();
}

/** Waits until a daemon that is not `pid` says that it is ready. */
async function another(machine: Machine, pid: number): Promise<Status> {
  return until("another daemon", async () => {
    const status = await statusOf(machine).catch(() => null);
    return status !== null && status.pid !== pid && status.health.state === "ready" ? status : null;
  });
}

/** Traffic both ways, from before something happens until a second after it. */
async function underTraffic(
  t: ExecutionContext,
  { pods, ledger }: Service,
  what: string,
  during: () => Promise<void>,
): Promise<readonly StreamAccount[]> {
  const [a, b] = pods;
  const options = { perSecond: PER_SECOND };
  const streams = await Promise.all([
    ledger.start(a.ns, b.ns, b.address, LEDGER_PORT, options),
    ledger.start(b.ns, a.ns, a.address, LEDGER_PORT, options),
  ]);
  await delay(200);
  await during();
  await delay(1000);
  const accounts = await Promise.all(streams.map((stream) => stream.stop()));
  for (const [index, { sent, delivered, duplicated, corrupt, silenceUs }] of accounts.entries()) {
    const silence = (silenceUs / 1000).toFixed(1);
    t.log(
      `${what}, ${index === 0 ? "to" : "from"} the service: ${sent} sent, ${sent - delivered} lost, ` +
        `${duplicated} duplicated, silent for ${silence} ms at most`,
    );
    // A crash takes what a worker had read and not yet written: a batch.
    const most = what.startsWith("SIG") ? BATCH : 0;
    t.true(sent - delivered <= most, `${what}: ${sent - delivered} lost`);
    t.is(duplicated, 0);
    t.is(corrupt, 0);
  }
  return accounts;
}

test.serial("a service that is reloaded, restarted, upgraded, killed and rebooted", async (t) => {
  t.timeout(600_000);
  const service = await startService(t);
  const { machine, pods } = service;
  const analysis = await machine.run("systemd-analyze", ["security", "--no-pager", "weftd"]);
  const [, exposure = ""] = /exposure level for weftd.service: ([\d.]+)/.exec(analysis) ?? [];
  t.log(`systemd-analyze security: ${exposure}`);
  t.true(Number(exposure) <= 2, analysis);

  let { pid } = await statusOf(machine);
  for (let i = 0; i < RELOADS; i++) {
    await underTraffic(t, service, "reload", async () => {
      await machine.run("systemctl", ["reload", "weftd"]);
      pid = (await another(machine, pid)).pid;
    });
    t.is(await property(machine, "MainPID"), String(pid));
  }
  // The end of a process that is not its child systemd would neither notice nor wait for.
  const journal = await machine.run("journalctl", ["--unit=weftd", "--no-pager", "--output=cat"]);
  t.notRegex(journal, /not our child|SIGKILL/);

  await underTraffic(t, service, "restart", async () => {
    await machine.run("systemctl", ["restart", "weftd"]);
    pid = (await another(machine, pid)).pid;
  });

  await underTraffic(t, service, "twenty restarts", async () => {
    for (let i = 0; i < 20; i++) await machine.run("systemctl", ["restart", "weftd"]);
    pid = (await another(machine, pid)).pid;
  });

  await machine.install("99.0.0");
  await underTraffic(t, service, "upgrade", async () => {
    await machine.run("systemctl", ["restart", "weftd"]);
    const status = await another(machine, pid);
    t.is(status.version, "99.0.0");
    pid = status.pid;
  });

  for (const signal of ["KILL", "SEGV"]) {
    await underTraffic(t, service, `SIG${signal}`, async () => {
      await machine.run("systemctl", ["kill", "--kill-who=main", `--signal=${signal}`, "weftd"]);
      pid = (await another(machine, pid)).pid;
    });
  }
  t.is(await property(machine, "NRestarts"), "2");

  await machine.reboot();
  await until("the service after a reboot", async () =>
    (await property(machine, "ActiveState")) === "active" ? true : null,
  );
  t.is((await statusOf(machine)).health.state, "ready");
  await mustPing(pods[0].ns, pods[1].address);
  await mustPing(pods[1].ns, pods[0].address);

  await machine.run("systemctl", ["stop", "weftd"]);
  t.is(await property(machine, "Result"), "success");

  await machine.run("weft", ["uninstall-service"]);
  t.is(await property(machine, "LoadState"), "not-found");
  for (const path of ["/etc/sysctl.d/60-weft.conf", "/etc/systemd/network/60-weft.network"]) {
    t.false(existsSync(join(machine.root, path)), path);
  }
  t.true(existsSync(join(machine.root, "/etc/default/weftd")), "settings are kept");
});
