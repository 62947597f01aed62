/**
 * A service under a real systemd whose host is in trouble, under traffic both ways; its routes come from an etcd on
 * another host. Clocks are not moved here: the machine has its host's (test/netns/clock.test.ts moves a daemon's own).
 */
import { setTimeout as delay } from "node:timers/promises";
import test from "ava";
import { Cgroup } from "../support/cgroup.js";
import { SystemService } from "../support/system-service.js";
import { until } from "../support/process.js";
import { underTraffic } from "./under-traffic.js";

/** Longer than WatchdogSec=. */
const THROTTLED_MS = 1000 * Number(process.env["WEFT_THROTTLED_S"] ?? 20);
const STATE = "/var/lib/weft";

/** So many packets a second fit into the queues for the time of a watchdog, and into a tenth of a processor. */
const SLOW = 1000;

test("systemd: a host in trouble", async (t) => {
  t.timeout(400_000 + THROTTLED_MS);
  const { service, etcd } = await SystemService.startWithEtcd(t.teardown);
  const { machine } = service;
  const systemctl = (verb: string): Promise<string> => machine.run("systemctl", [verb, "weftd"]);
  const row = { row: "H1", pauseMs: 250 };

  const network = async (): Promise<string> =>
    (await machine.run("ip", ["-brief", "address", "show", "weft0"])) +
    (await machine.run("ip", ["route", "show", "dev", "weft0"]));
  const before = await network();
  let goneMs = 0;
  const stopped = {
    row: "H2",
    fault: "systemctl stop, and start half a second later",
    pauseMs: 1000,
    goneMs: () => goneMs,
  };
  await underTraffic(t, service, stopped, async () => {
    const begin = performance.now();
    await systemctl("stop");
    await delay(500);
    await systemctl("start");
    goneMs = performance.now() - begin;
  });
  t.is(await network(), before);

  const away = { ...row, fault: "etcd is away, and a kill, a restart and a reload follow" };
  await underTraffic(t, service, away, async () => {
    await etcd.stop();
    await service.kill("SIGKILL");
    for (const verb of ["restart", "reload"]) {
      const { pid } = await service.status();
      await systemctl(verb);
      await service.another(pid);
    }
  });
  await etcd.start();
  await until(
    "contact",
    async () => ((await service.status()).health.state === "ready" ? true : null),
    30_000,
  );

  for (const [what, mount] of [
    ["read-only", ["--bind", "-o", "ro", STATE]],
    ["full", ["-t", "tmpfs", "-o", "size=4k,nr_inodes=1,mode=0700", "none"]],
  ] as const) {
    const disk = {
      ...row,
      row: "H17",
      fault: `the state directory is ${what}, and a kill, a restart and a reload follow`,
    };
    await underTraffic(t, service, disk, async () => {
      await machine.run("mount", [...mount, STATE]);
      await service.kill("SIGKILL");
      for (const verb of ["restart", "reload"]) {
        const { pid } = await service.status();
        await systemctl(verb);
        await service.another(pid);
      }
    });
    await machine.run("umount", ["--lazy", STATE]);
  }

  const hand = { row: "H2", fault: "weft restart in a shell is refused", pauseMs: 50 };
  await underTraffic(t, service, hand, async () => {
    const { pid } = await service.status();
    const { code, stderr } = await machine.tryRun("weft", ["restart"]);
    t.is(code, 1);
    t.regex(stderr, /use 'systemctl reload weftd'/);
    t.is((await service.status()).pid, pid);
  });

  for (let i = 0; i < 3; i++) {
    const both = { row: "H2", fault: "systemctl restart in the midst of a reload", pauseMs: 500 };
    await underTraffic(t, service, both, async () => {
      const reload = machine.tryRun("systemctl", ["reload", "weftd"]);
      await delay(150 + 150 * i);
      await systemctl("restart");
      await reload;
      await service.active();
    });
  }

  const journal = { row: "H1", fault: "the journal's daemon is killed", pauseMs: 50 };
  await underTraffic(t, service, journal, async () => {
    const { pid } = await service.status();
    await machine.run("systemctl", ["kill", "--signal=KILL", "systemd-journald"]);
    await delay(500);
    await machine.run("weft", ["log-level", "debug"]);
    await etcd.stop();
    await until("a line of log", async () => ((await service.status()).registry.connected ? null : true));
    await etcd.start();
    await machine.run("weft", ["log-level", "info"]);
    t.is((await service.status()).pid, pid);
  });

  if (Cgroup.has("memory")) {
    const group = await Cgroup.create("memory", t.teardown);
    await underTraffic(
      t,
      service,
      { ...row, row: "H3", fault: "the kernel ends it for its memory" },
      async () => {
        const { pid } = await service.status();
        group.add((await service.main()).pid);
        group.limitMemory(1 << 20);
        await service.another(pid);
      },
    );
    await group.remove();
  }

  const hangs = { row: "H6", fault: "it is stopped (SIGSTOP)", pauseMs: 10_000, perSecond: SLOW };
  await underTraffic(t, service, hangs, async () => {
    const { pid } = await service.status();
    process.kill((await service.main()).pid, "SIGSTOP");
    await service.another(pid);
  });
  t.regex(await machine.run("journalctl", ["--unit=weftd", "--no-pager"]), /Watchdog timeout/);

  if (Cgroup.has("cpu")) {
    const group = await Cgroup.create("cpu", t.teardown);
    const slow = {
      row: "H29",
      fault: `it gets a tenth of a processor for ${THROTTLED_MS / 1000} s`,
      pauseMs: 250,
      perSecond: SLOW,
    };
    await underTraffic(t, service, slow, async () => {
      const { pid } = await service.status();
      group.limitCpu(0.1);
      group.add((await service.main()).pid);
      await delay(THROTTLED_MS);
      t.is((await service.status()).pid, pid);
    });
    await group.remove();
  }
});
