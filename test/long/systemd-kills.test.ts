/**
 * Kills of a service's processes under a real systemd, at moments that a seed draws, under traffic both ways: of the
 * daemon, of the one that takes over from it, of the command that waits for that, and of all at once.
 *
 *     WEFT_KILLS=100 WEFT_SEED=1 npm run test:long
 */
import { setTimeout as delay } from "node:timers/promises";
import test from "ava";
import { Chance } from "../faults/chance.js";
import { recordFinding } from "../support/findings.js";
import type { Process } from "../support/machine.js";
import { harmOf, SystemService } from "../support/system-service.js";

const KILLS = Number(process.env["WEFT_KILLS"] ?? 12);
const SEED = Number(process.env["WEFT_SEED"] ?? 1);
/** Longer than a takeover lasts. */
const TAKEOVER_MS = 600;
/** Packets that a worker has in hand at most. */
const BATCH = 128;
const PAUSE_MS = 500;
/** What a busy machine may add to it. */
const SLACK_MS = Number(process.env["WEFT_SLACK_MS"] ?? 1500);

const ROLES = ["daemon", "next daemon", "command", "all"] as const;

function roleOf({ inside, command }: Process, main: number): (typeof ROLES)[number] {
  if (inside === main) return "daemon";
  return / restart$/.test(command) ? "command" : "next daemon";
}

test("a service whose processes are killed while another one takes over carries packets again soon", async (t) => {
  t.timeout(60_000 + KILLS * 20_000);
  const service = await SystemService.start(t.teardown);
  const { machine } = service;
  const worst = { lost: 0, silenceMs: 0 };
  let happened = 0;
  for (let seed = SEED; seed < SEED + KILLS; seed++) {
    const chance = new Chance(seed);
    const whom = chance.pick(ROLES);
    const afterMs = chance.between(0, TAKEOVER_MS);
    const main = await service.status();
    let code = 0;
    let killed = 0;
    const accounts = await service.traffic(async () => {
      const reload = machine.tryRun("systemctl", ["reload", "weftd"]);
      await delay(afterMs);
      const processes = await machine.processes(/^\S*node .*weft/);
      const victims = processes.filter((each) => whom === "all" || roleOf(each, main.pid) === whom);
      for (const { pid } of victims) process.kill(pid, "SIGKILL");
      killed = victims.length;
      ({ code } = await reload);
      await service.active();
    });
    const { sent, lost, duplicated, corrupt, silenceMs } = harmOf(accounts);
    if (killed > 0) happened++;
    t.log(
      `seed ${seed}: ${whom} after ${Math.round(afterMs)} ms, ${killed} killed, reload ended with ${code}: ` +
        `of ${sent} ${lost} lost, silent for ${silenceMs.toFixed(1)} ms`,
    );
    t.true(lost <= (killed > 0 ? BATCH : 0), `seed ${seed}: ${lost} lost`);
    t.deepEqual({ duplicated, corrupt }, { duplicated: 0, corrupt: 0 }, `seed ${seed}`);
    t.true(silenceMs <= PAUSE_MS + SLACK_MS, `seed ${seed}: silent for ${silenceMs} ms`);
    worst.lost = Math.max(worst.lost, lost);
    worst.silenceMs = Math.max(worst.silenceMs, silenceMs);
  }
  recordFinding({
    row: "H2",
    fault: "under a real systemd, processes of the service are killed while another one takes over",
    test: "test/long/systemd-kills.test.ts",
    bound: `${PAUSE_MS} ms without a packet, lost: what a worker has in hand`,
    measured: `${happened} kills of ${KILLS} reloads: silent for ${worst.silenceMs.toFixed(0)} ms, ${worst.lost} lost at worst`,
  });
});
