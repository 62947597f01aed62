/** Random faults and writes, checked by a model: a short run of test/faults/registry-schedule.ts, and the model itself. */
import test from "ava";
import { readLease } from "../../src/lease/policy.js";
import { parseNetworkConfig } from "../../src/config/network-config.js";
import type { Lease } from "../../src/lease/lease.js";
import { RegistryModel } from "../faults/registry-model.js";
import { run } from "../faults/registry-schedule.js";

const CONFIG = parseNetworkConfig('{"Network":"10.5.0.0/16"}');

test("C2–C9: after random faults the routes are what etcd says, and none was lost that etcd had not withdrawn", async (t) => {
  t.timeout(120_000);
  const { rounds, writes, problems } = await run({ seed: 7, minutes: 0.15, log: t.log });
  t.deepEqual(problems, []);
  t.true(rounds > 0 && writes > 0);
});

test("the model objects to a lost route, to an invented one, and to an old one at rest", (t) => {
  const snapshot = (...entries: [string, string][]) => ({
    config: CONFIG,
    peers: entries.map(([key, PublicIP]) => readLease(key, JSON.stringify({ PublicIP }), CONFIG) as Lease),
    rejected: [],
    held: 0,
    stale: false,
  });
  const key = "10.5.7.0-24";
  const model = new RegistryModel();
  model.put(key, "10.99.0.7");
  model.see(snapshot([key, "10.99.0.7"]));
  t.true(model.atRest);
  model.put(key, "10.99.0.8");
  t.false(model.atRest);
  model.see(snapshot());
  t.regex(model.problems.join(), /10\.5\.7\.0-24 was lost 1 times and deleted 0 times/);
  model.see(snapshot([key, "10.99.0.9"]));
  t.regex(model.problems.join(), /via 10\.99\.0\.9, which etcd never said/);
});
