/**
 * Kills of a service's processes under a real systemd and under traffic both ways: one after the other, all at once, and,
 * at moments that a seed draws, while another process takes over or systemd itself is replaced.
 *
 *     WEFT_KILLS=100 WEFT_SEED=1 npm run test:long
 */
import { setTimeout as delay } from "node:timers/promises";
import test from "ava";
import { Chance } from "../faults/chance.js";
import type { Process } from "../support/machine.js";
import { SystemService } from "../support/system-service.js";
import { underTraffic } from "./under-traffic.js";

const KILLS = Number(process.env["WEFT_KILLS"] ?? 12);
const SEED = Number(process.env["WEFT_SEED"] ?? 1);
/** Longer than a takeover lasts. */
const TAKEOVER_MS = 600;

const ROLES = ["the daemon", "the next one", "weft restart", "all of them"] as const;

function roleOf({ inside, command }: Process, main: number): (typeof ROLES)[number] {
  if (inside === main) return "the daemon";
  return / restart$/.test(command) ? "weft restart" : "the next one";
}

test.serial("systemd: kills while another process takes over", async (t) => {
  t.timeout(60_000 + KILLS * 20_000);
  const service = await SystemService.start(t.teardown);
  const { machine } = service;
  for (let seed = SEED; seed < SEED + KILLS; seed++) {
    const chance = new Chance(seed);
    const whom = chance.pick(ROLES);
    const afterMs = chance.between(0, TAKEOVER_MS);
    const { pid: main } = await service.active();
    const row = {
      row: "H2",
      fault: `SIGKILL in the midst of systemctl reload, to ${whom}`,
      pauseMs: 500,
    };
    await underTraffic(t, service, row, async () => {
      const reload = machine.tryRun("systemctl", ["reload", "weftd"]);
      await delay(afterMs);
      const processes = await machine.processes(/^\S*node .*weft/);
      const victims = processes.filter((each) => whom === "all of them" || roleOf(each, main) === whom);
      for (const { pid } of victims) process.kill(pid, "SIGKILL");
      const { code } = await reload;
      t.log(`seed ${seed}: ${victims.length} killed after ${Math.round(afterMs)} ms, reload: ${code}`);
      await service.active();
    });
  }
});

test.serial("systemd: kills one after the other", async (t) => {
  t.timeout(300_000);
  const service = await SystemService.start(t.teardown);
  const { machine } = service;
  const row = { row: "H1", pauseMs: 250 };

  const whole = { ...row, fault: "systemctl kill --kill-whom=all -s KILL" };
  await underTraffic(t, service, whole, async () => {
    const { pid } = await service.status();
    await machine.run("systemctl", ["kill", "--kill-whom=all", "--signal=KILL", "weftd"]);
    await service.another(pid);
  });

  const twice = { ...row, fault: "two kills within 100 ms", pauseMs: 350 };
  await underTraffic(t, service, twice, async () => {
    for (let i = 0; i < 2; i++) {
      const [victim] = await machine.processes(/weftd/);
      if (victim !== undefined) process.kill(victim.pid, "SIGKILL");
      await delay(80);
    }
    await service.active();
  });

  for (const command of ["daemon-reexec", "daemon-reload"]) {
    await underTraffic(t, service, { ...row, fault: `systemctl ${command}, then a kill` }, async () => {
      const kept = await service.property("NFileDescriptorStore");
      await machine.run("systemctl", [command]);
      t.is(await service.property("NFileDescriptorStore"), kept);
      await service.kill("SIGKILL");
    });
  }

  const chance = new Chance(SEED);
  const many = {
    ...row,
    fault: `${KILLS} kills in a row, 1 to 2 s apart, ready or not`,
  };
  await underTraffic(t, service, many, async () => {
    for (let i = 0; i < KILLS; i++) {
      const [victim] = await machine.processes(/weftd/);
      if (victim !== undefined) process.kill(victim.pid, "SIGKILL");
      await delay(chance.between(1000, 2000));
    }
    await service.active();
  });
  t.true(Number(await service.property("NRestarts")) >= KILLS);
});
