/**
 * Forwarders that are killed at random moments under traffic, each followed by the next: `native/crash` counts what they
 * had in their hands. No packet may be missing, come twice, out of order or changed.
 */
import test from "ava";
import { run } from "../support/process.js";

const native = new URL("../../../native", import.meta.url).pathname;
const KILLS = Number(process.env["WEFT_KILLS"] ?? 200);

interface Account {
  readonly kills: number;
  readonly received: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly corrupt: number;
}

async function crash(
  kills: number,
  format: "udp" | "vxlan",
  workers: number,
  afterwards: "keep" | "back" | "hang" | "forget",
): Promise<Account> {
  await run("flock", [`${native}/Makefile`, "make", "--no-print-directory", "-C", native, "crash"]);
  const args = [1, kills, format, workers, afterwards].map(String);
  return JSON.parse(await run(`${native}/out/crash`, args)) as Account;
}

for (const [format, workers] of [
  ["udp", 1],
  ["udp", 2],
  ["vxlan", 1],
] as const) {
  test(`H1: nothing is lost or repeated when forwarders are killed: ${format}, workers: ${workers}`, async (t) => {
    const { received, ...account } = await crash(KILLS, format, workers, "keep");
    t.deepEqual(account, { kills: KILLS, lost: 0, duplicated: 0, corrupt: 0 });
    t.true(received > KILLS);
  });
}

for (const workers of [1, 2]) {
  test(`H2: the same when the one before goes on, that had handed over: workers: ${workers}`, async (t) => {
    const { received, ...account } = await crash(KILLS, "udp", workers, "back");
    t.deepEqual(account, { kills: KILLS, lost: 0, duplicated: 0, corrupt: 0 });
    t.true(received > KILLS);
  });
}

test("H2: one that stands still keeps what it has, while the one before goes on, until it is killed", async (t) => {
  const { received, lost, duplicated, ...account } = await crash(KILLS, "udp", 1, "hang");
  t.deepEqual(account, { kills: KILLS, corrupt: 0 });
  t.is(lost, duplicated, "they come late, and once");
  t.true(lost > 0);
  t.true(received > KILLS);
});

test("H1: without the journal what a worker has in its hands is lost", async (t) => {
  const { lost, duplicated, corrupt } = await crash(50, "udp", 1, "forget");
  t.true(lost > 0);
  t.deepEqual({ duplicated, corrupt }, { duplicated: 0, corrupt: 0 });
});
