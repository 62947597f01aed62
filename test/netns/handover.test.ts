/**
 * H1–H4: daemons that end, by accident or by plan, under traffic both ways that accounts for every packet. The service
 * manager of host 1 is a stand-in for systemd (test/support/service-manager.py).
 *
 *     pod ─ cni0 ─ host1: manager, weftd ── wire ── host2: weftd ─ cni0 ─ pod
 */
import { closeSync, rmSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { ask, open } from "../../src/cli/client.js";
import load from "../../src/native/load.cjs";
import { Cgroup } from "../support/cgroup.js";
import { recordFinding } from "../support/findings.js";
import { Bed } from "../support/hosts.js";
import { Ledger, type StreamAccount } from "../support/ledger.js";
import { otherVersion } from "../support/other-version.js";
import { type Node, Overlay } from "../support/overlay.js";
import { until } from "../support/process.js";
import { mustPing } from "../support/traffic.js";
import { Service, type ServiceOptions } from "../support/service.js";

const RATE = Number(process.env["WEFT_RATE"] ?? 5000);
const TIMES = Number(process.env["WEFT_TIMES"] ?? 3);
/** What other tests on a busy machine may add to a pause that is to be 250 ms, or 20. */
const SLACK_MS = Number(process.env["WEFT_SLACK_MS"] ?? 3000);

interface Hosts {
  readonly service: Service;
  readonly pods: readonly [Node["pod"], Node["pod"]];
  readonly ledger: Ledger;
}

async function start(t: ExecutionContext, options: Partial<ServiceOptions> = {}): Promise<Hosts> {
  t.timeout(120_000);
  const bed = await Bed.create(t.teardown, { hosts: 2 });
  const [one, two] = [bed.host(1), bed.host(2)];
  const overlay = await Overlay.create(t.teardown, { format: "vxlan" });
  for (const host of bed.hosts) await overlay.addToFile(host);
  const service = await Service.start(one.ns, join(overlay.directory, "host1"), {
    ...options,
    args: [`--registry=file:${overlay.peersFile}`, ...(options.args ?? [])],
  });
  const pod = await one.addPod(await service.weftd.podNetwork());
  const other = await overlay.startNode(two);
  await mustPing(pod.ns, other.pod.address, { count: 1 });
  return { service, pods: [pod, other.pod], ledger: await Ledger.build(t.teardown) };
}

/** Traffic both ways while something happens; what became of it. */
async function during(
  { pods: [one, two], ledger }: Hosts,
  act: () => Promise<void>,
): Promise<readonly StreamAccount[]> {
  const options = { perSecond: RATE };
  const streams = await Promise.all([
    ledger.start(one.ns, two.ns, two.address, 7000, options),
    ledger.start(two.ns, one.ns, one.address, 7000, options),
  ]);
  await mustPing(one.ns, two.address, { count: 1 });
  await act();
  return Promise.all(streams.map((stream) => stream.stop()));
}

function harmless(
  t: ExecutionContext,
  row: string,
  what: string,
  pauseMs: number,
  accounts: readonly StreamAccount[],
): void {
  const silenceMs = Math.round(Math.max(...accounts.map(({ silenceUs }) => silenceUs)) / 1000);
  const sum = (of: "sent" | "delivered" | "duplicated" | "reordered" | "corrupt"): number =>
    accounts.reduce((all, account) => all + account[of], 0);
  const figures = {
    lost: sum("sent") - sum("delivered"),
    duplicated: sum("duplicated"),
    reordered: sum("reordered"),
    corrupt: sum("corrupt"),
  };
  t.log(`${what}: of ${sum("sent")} ${JSON.stringify(figures)}, silence ${silenceMs} ms`);
  recordFinding({
    row,
    fault: what,
    test: "test/netns/handover.test.ts",
    bound: `0 lost, 0 duplicated, pause ${pauseMs} ms`,
    measured: `of ${sum("sent")} packets ${figures.lost} lost, ${figures.duplicated} duplicated, pause ${silenceMs} ms`,
  });
  t.deepEqual(figures, { lost: 0, duplicated: 0, reordered: 0, corrupt: 0 }, what);
  t.true(silenceMs <= pauseMs + SLACK_MS, `${what}: silent for ${silenceMs} ms`);
}

test.serial(
  "H1, H2, H4: crashes, restarts and reloads of a service cost a pause, and no packet",
  async (t) => {
    const hosts = await start(t);
    const { service } = hosts;
    t.deepEqual(
      service.lines(/^kept (.*)$/).map(([, name]) => name),
      ["tun", "underlay4", "journal"],
    );
    for (const signal of ["SIGKILL", "SIGSEGV"] as const) {
      const accounts = await during(hosts, () => service.kill(signal));
      harmless(t, signal === "SIGSEGV" ? "H4" : "H1", `the daemon ends by ${signal}`, 250, accounts);
    }
    harmless(t, "H2", "the service is restarted", 250, await during(hosts, () => service.restart()));
    for (let i = 0; i < TIMES; i++) {
      const accounts = await during(hosts, async () => {
        t.is(await service.reload(), 0, service.manager.describe());
      });
      harmless(t, "H2", "another process takes over", 20, accounts);
    }
    // The last process keeps what the first one opened: it survives a crash as well.
    harmless(t, "H1", "it is killed after that", 250, await during(hosts, () => service.kill("SIGKILL")));
    t.deepEqual(service.lines(/^dropped (.*)$/), []);
  },
);

test.serial(
  "H2: who speaks another version, says nothing more or has wrong settings takes nothing over",
  async (t) => {
    const hosts = await start(t);
    const { service } = hosts;
    const { pid } = service;
    const { directory } = service.weftd;
    const put = (path: string, body: object | null): Promise<unknown> => ask(directory, "PUT", path, body);
    const accounts = await during(hosts, async () => {
      await t.throwsAsync(put("/handover", { version: 99, socket: "/nowhere" }), {
        message: /version 99 is not known here, only 1: restart weftd instead/,
      });
      await t.throwsAsync(put("/handover", { version: 1, socket: "/nowhere" }), {
        message: /cannot hand over: ENOENT/,
      });
      for (const junk of [{}, { version: "1", socket: "/nowhere" }, { version: 1 }, [1, "/nowhere"]]) {
        await t.throwsAsync(put("/handover", junk), { message: /expected \{"version"/ });
      }
      await t.throwsAsync(put("/handover/pause", { version: 1, socket: "/nowhere" }), {
        message: /another weftd has begun to take over since/,
      });
      await t.throwsAsync(put("/handover/end", null), { message: /there was no pause/ });
      const byHand = await service.byHand(["restart"]);
      t.is(byHand.code, 1);
      t.regex(byHand.stderr, /is a service, .* use 'systemctl reload weftd'/);
      t.not(await service.reload(["--public-ip=198.51.100.77"]), 0);
      t.not(await service.reload(["--no-such-flag"]), 0);
    });
    harmless(t, "H2", "successors that cannot take over", 20, accounts);

    // Successors that have the workers stopped and then say nothing, or vanish: they start again by themselves.
    const goneOn = (): number => service.lines(/the next weftd did not take over; going on/).length;
    for (const [what, stay] of [
      ["hangs", true],
      ["vanishes", false],
    ] as const) {
      const path = join(directory, "silent");
      const socket = load.loadNative().bindDatagram(path);
      await put("/handover", { version: 1, socket: path });
      const before = goneOn();
      const silent = await during(hosts, async () => {
        const request = JSON.stringify({ version: 1, socket: path });
        const answer = await open(directory, "PUT", "/handover/pause", request);
        answer.on("error", () => undefined);
        if (!stay) answer.destroy();
        await until("the workers go on", () => (goneOn() > before ? true : null));
        answer.destroy();
      });
      closeSync(socket);
      rmSync(path);
      harmless(t, "H2", `a successor that ${what} when it has the packets`, stay ? 320 : 50, silent);
    }
    t.is((await service.weftd.ask("/status")).pid, pid);
    await service.weftd.ready();
    t.is(await service.reload(), 0, service.manager.describe());
  },
);

test.serial("H2: another version takes over and is taken over from; an unknown one is refused", async (t) => {
  const hosts = await start(t);
  const { service } = hosts;
  const version = async (): Promise<string> => (await service.weftd.ask("/status")).version;
  const own = await version();
  // It leaves a file that this one cannot read.
  const next = await otherVersion(t.teardown, { version: "99.0.0", estate: 99 });
  for (const [programs, expected] of [
    [next, "99.0.0"],
    [undefined, own],
    [next, "99.0.0"],
  ] as const) {
    const accounts = await during(hosts, async () => {
      t.is(await service.reload([], programs), 0, service.manager.describe());
    });
    harmless(t, "H2", "another version takes over", 20, accounts);
    t.is(await version(), expected);
  }
  harmless(
    t,
    "H2",
    "back to the old version by a restart",
    500,
    await during(hosts, () => service.restart()),
  );
  t.is(await version(), own);

  const { pid } = service;
  const stranger = await otherVersion(t.teardown, { version: "100.0.0", handover: 2 });
  const accounts = await during(hosts, async () => {
    t.not(await service.reload([], stranger), 0);
  });
  harmless(t, "H2", "a version with an unknown hand-over is refused", 20, accounts);
  t.not(service.lines(/hand-over of version 2 is not known here, only 1: restart weftd instead/).length, 0);
  t.is((await service.weftd.ask("/status")).pid, pid);
});

test.serial("H2: kills of those who take part in a takeover leave one that carries packets", async (t) => {
  const hosts = await start(t);
  const { service } = hosts;
  const next = (): Promise<number> =>
    until("the next process", async () => (await service.takingOver())[0] ?? null);

  // systemd does not start a service again while it waits for the reload to end: the command must not wait then.
  const { pid } = service;
  const killed = await during(hosts, async () => {
    const command = await service.beginReload();
    await next();
    process.kill(pid, "SIGKILL");
    t.is(await service.ended(command), 1);
    await service.successor(pid);
  });
  harmless(t, "H1", "the daemon is killed while another process takes over", 500, killed);
  t.regex(service.manager.describe(), /the weftd that ran ended meanwhile: it is started again/);
  t.notRegex(service.manager.describe(), /is in use/, "nobody has tried without the descriptors");

  // Who was to take over for a command that is gone does not, and nobody notices.
  const survivor = service.pid;
  const accounts = await during(hosts, async () => {
    const command = await service.beginReload();
    const heir = await next();
    process.kill(command, "SIGKILL");
    t.is(await service.ended(command), -9);
    await until("its end", async () => ((await service.takingOver()).includes(heir) ? null : true));
  });
  harmless(t, "H2", "the command that waits for a takeover is killed", 20, accounts);
  t.is((await service.weftd.ask("/status")).pid, survivor);

  // Those that failed to take over were no short lives of the service.
  for (let i = 0; i < 4; i++) t.not(await service.reload(["--no-such-flag"]), 0);
  await service.kill("SIGKILL");
  t.notRegex(service.manager.stdout.join("\n"), /those before this weftd did not last/);
});

test.serial("descriptors that are not what would be opened now are dropped, and replaced", async (t) => {
  const hosts = await start(t);
  const { service, pods } = hosts;
  const { pid } = service;
  // What was kept is of no use any more: the device is gone.
  await service.ns.ip("link delete weft0");
  await service.successor(pid);
  t.deepEqual(
    service.lines(/^dropped (.*)$/).map(([, name]) => name),
    ["tun"],
  );
  await mustPing(pods[0].ns, pods[1].address, { count: 1 });
  const accounts = await during(hosts, () => service.kill("SIGKILL"));
  harmless(t, "H1", "it is killed with a new device", 250, accounts);
});

(Cgroup.has("memory") ? test.serial : test.serial.skip)(
  "H3: running out of memory costs a pause",
  async (t) => {
    const hosts = await start(t);
    const { service } = hosts;
    const cgroup = await Cgroup.create("memory", t.teardown);
    const accounts = await during(hosts, async () => {
      const { pid } = service;
      cgroup.add(pid);
      cgroup.limitMemory(1024 * 1024);
      await service.successor(pid);
    });
    harmless(t, "H3", "the kernel kills it for its memory", 250, accounts);
    t.truthy(service.lines(/^ended \d+ -9$/).length);
  },
);
