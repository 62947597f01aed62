/**
 * The service under a real systemd: installed, started, reloaded, restarted, killed, upgraded and rebooted, with
 * traffic between pods that is counted from outside. `npm run test:long`; needs Debian's debootstrap and
 * systemd-container, and the first time its archive.
 */
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { until } from "../support/process.js";
import { SystemService } from "../support/system-service.js";
import { mustPing } from "../support/traffic.js";
import { underTraffic } from "./under-traffic.js";

const RELOADS = Number(process.env["WEFT_TIMES"] ?? 3);

test.serial("a service that is reloaded, restarted, upgraded, killed and rebooted", async (t) => {
  t.timeout(600_000);
  const service = await SystemService.start(t.teardown);
  const { machine, pods } = service;
  const planned = { row: "H2", pauseMs: 250 };
  const analysis = await machine.run("systemd-analyze", ["security", "--no-pager", "weftd"]);
  const [, exposure = ""] = /exposure level for weftd.service: ([\d.]+)/.exec(analysis) ?? [];
  t.log(`systemd-analyze security: ${exposure}`);
  t.true(Number(exposure) <= 2, analysis);

  let { pid } = await service.status();
  for (let i = 0; i < RELOADS; i++) {
    await underTraffic(t, service, { ...planned, fault: "systemctl reload", pauseMs: 20 }, async () => {
      await machine.run("systemctl", ["reload", "weftd"]);
      pid = (await service.another(pid)).pid;
    });
    t.is(await service.property("MainPID"), String(pid));
  }
  // The end of a process that is not its child systemd would neither notice nor wait for.
  const journal = await machine.run("journalctl", ["--unit=weftd", "--no-pager", "--output=cat"]);
  t.notRegex(journal, /not our child|SIGKILL/);

  await underTraffic(t, service, { ...planned, fault: "systemctl restart" }, async () => {
    await machine.run("systemctl", ["restart", "weftd"]);
    pid = (await service.another(pid)).pid;
  });

  await underTraffic(t, service, { ...planned, fault: "twenty times systemctl restart" }, async () => {
    for (let i = 0; i < 20; i++) await machine.run("systemctl", ["restart", "weftd"]);
    pid = (await service.another(pid)).pid;
  });

  await machine.install("99.0.0");
  await underTraffic(t, service, { ...planned, fault: "an upgrade, systemctl restart" }, async () => {
    await machine.run("systemctl", ["restart", "weftd"]);
    const status = await service.another(pid);
    t.is(status.version, "99.0.0");
    pid = status.pid;
  });

  for (const signal of ["KILL", "SEGV"]) {
    const crash = { row: signal === "KILL" ? "H1" : "H4", fault: `SIG${signal}`, pauseMs: 250 };
    await underTraffic(t, service, crash, async () => {
      await machine.run("systemctl", ["kill", "--kill-who=main", `--signal=${signal}`, "weftd"]);
      pid = (await service.another(pid)).pid;
    });
  }
  t.is(await service.property("NRestarts"), "2");

  await machine.reboot();
  await until("the service after a reboot", async () =>
    (await service.property("ActiveState")) === "active" ? true : null,
  );
  t.is((await service.status()).health.state, "ready");
  await mustPing(pods[0].ns, pods[1].address);
  await mustPing(pods[1].ns, pods[0].address);

  t.false((await service.status()).realtime);
  const dropIns = join(machine.root, "/etc/systemd/system/weftd.service.d");
  mkdirSync(dropIns);
  copyFileSync("systemd/weftd-realtime.conf", join(dropIns, "realtime.conf"));
  // Where a container may not raise a limit, LimitRTPRIO= has no effect.
  writeFileSync(join(dropIns, "container.conf"), "[Service]\nCapabilityBoundingSet=CAP_SYS_NICE\n");
  await machine.run("systemctl", ["daemon-reload"]);
  await machine.run("systemctl", ["restart", "weftd"]);
  await until("what weftd-realtime.conf allows", async () =>
    (await service.status()).realtime ? true : null,
  );

  await machine.run("systemctl", ["stop", "weftd"]);
  t.is(await service.property("Result"), "success");

  await machine.run("weft", ["uninstall-service"]);
  t.is(await service.property("LoadState"), "not-found");
  for (const path of ["/etc/sysctl.d/60-weft.conf", "/etc/systemd/network/60-weft.network"]) {
    t.false(existsSync(join(machine.root, path)), path);
  }
  t.true(existsSync(join(machine.root, "/etc/default/weftd")), "settings are kept");
});
