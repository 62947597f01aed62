/** The daemon's health: starting, then the worst of its parts, told once per change. */
import test from "ava";
import { Health } from "../../src/observe/health.js";

test("the worst part counts, and every change is told once", (t) => {
  const told: string[] = [];
  const health = new Health(({ state, reasons }) => told.push([state, ...reasons].join("|")));
  t.deepEqual(health.status(), { state: "starting", reasons: [] });

  health.degraded("registry", "waiting for etcd");
  health.degraded("registry", "waiting for etcd");
  health.ok("registry");
  health.ready();
  health.ready();
  health.degraded("registry", "etcd does not answer");
  health.failed("dataplane", "the TUN device is gone");
  health.ok("registry");
  health.ok("dataplane");
  t.deepEqual(told, [
    "starting|waiting for etcd",
    "starting",
    "ready",
    "degraded|etcd does not answer",
    "failed|etcd does not answer|the TUN device is gone",
    "failed|the TUN device is gone",
    "ready",
  ]);
});

test("what failed before the start is complete is failed, not starting", (t) => {
  const health = new Health(() => undefined);
  health.failed("subnet-file", "cannot write subnet.env");
  t.is(health.status().state, "failed");
});
