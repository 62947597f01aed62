/**
 * Forwarders that are killed at random moments under traffic, each followed by the next: `native/crash` counts what they
 * had in their hands. No packet may be missing, come twice, out of order or changed.
 */
import test from "ava";
import { run } from "../support/process.js";

const native = new URL("../../../native", import.meta.url).pathname;

interface Account {
  readonly kills: number;
  readonly received: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly corrupt: number;
}

async function crash(
  seed: number,
  kills: number,
  workers: number,
  journal: "keep" | "forget",
): Promise<Account> {
  await run("flock", [`${native}/Makefile`, "make", "--no-print-directory", "-C", native, "crash"]);
  const printed = await run(`${native}/out/crash`, [`${seed}`, `${kills}`, `${workers}`, journal]);
  return JSON.parse(printed) as Account;
}

for (const workers of [1, 2]) {
  test(`H1: nothing is lost or repeated when forwarders with ${workers} worker${workers > 1 ? "s" : ""} are killed`, async (t) => {
    const kills = Number(process.env["WEFT_KILLS"] ?? 300);
    const { received, ...account } = await crash(workers, kills, workers, "keep");
    t.deepEqual(account, { kills, lost: 0, duplicated: 0, corrupt: 0 });
    t.true(received > kills);
  });
}

test("H1: without the journal what a worker has in its hands is lost", async (t) => {
  const { lost, duplicated, corrupt } = await crash(3, 50, 1, "forget");
  t.true(lost > 0);
  t.deepEqual({ duplicated, corrupt }, { duplicated: 0, corrupt: 0 });
});
