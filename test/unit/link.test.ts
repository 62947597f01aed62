/** The length of the TUN's queue: what restarts want, and what a host can spare. */
import test from "ava";
import { txQueueLength } from "../../src/linux/link.js";

const GIB = 2 ** 30;

test("the TUN's queue, full of super-packets, takes a quarter of a small host's memory", (t) => {
  t.is(txQueueLength(64 * GIB), 50_000);
  t.is(txQueueLength(12.25 * GIB), 50_000);
  t.is(txQueueLength(4 * GIB), 16_384);
  t.is(txQueueLength(0.5 * GIB), 2048);
});
