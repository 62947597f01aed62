/** C9, C23: which leases that vanish are held, for how long, and what ends a hold. */
import test from "ava";
import fc from "fast-check";
import { parseNetworkConfig } from "../../src/config/network-config.js";
import type { Lease } from "../../src/lease/lease.js";
import { isRejection, readLease } from "../../src/lease/policy.js";
import { Withdrawals } from "../../src/lease/withdrawals.js";

const HOLD = 300_000;
const UDP = parseNetworkConfig('{"Network":"10.5.0.0/16"}');

const revisions = new WeakMap<Lease, number>();

/** Lease number n, with a key that may be another one for the same subnet. */
function lease(n: number, suffix = "", revision = 1): Lease {
  const result = readLease(`10.5.${n}.0-24${suffix}`, `{"PublicIP":"10.99.0.${n}","PublicIPv6":null}`, UDP);
  if (isRejection(result)) throw new Error(result.message);
  revisions.set(result, revision);
  return result;
}

const leases = (first: number, last: number, revision = 1): Lease[] =>
  Array.from({ length: last - first + 1 }, (_, index) => lease(first + index, "", revision));
const keys = (list: readonly Lease[]): string[] => list.map(({ key }) => key);

const create = (holdMs: number): Withdrawals =>
  new Withdrawals(holdMs, (each) => revisions.get(each) ?? Number.NaN);

/** A network of `count` peers, seen at time 0. */
function network(count: number, holdMs = HOLD, revision = 1): Withdrawals {
  const withdrawals = create(holdMs);
  withdrawals.update(leases(1, count, revision), revision, 0, false);
  return withdrawals;
}

test("C9, C23: what counts as a mass: more than half, or more than ten and a fifth", (t) => {
  const heldOf = (count: number, lost: number): number => {
    const withdrawals = network(count);
    withdrawals.update(leases(lost + 1, count), 1, 1, false);
    return withdrawals.held.length;
  };
  t.is(heldOf(1, 1), 0, "one of two nodes leaves");
  t.is(heldOf(2, 1), 0);
  t.is(heldOf(2, 2), 2);
  t.is(heldOf(3, 2), 2);
  t.is(heldOf(4, 2), 0);
  t.is(heldOf(5, 3), 3);
  t.is(heldOf(40, 10), 0);
  t.is(heldOf(40, 11), 11);
  t.is(heldOf(100, 20), 0);
  t.is(heldOf(100, 21), 21);
});

test("C23: the only peer is held when this node's own lease vanished with it, before or after", (t) => {
  for (const own of [null, 2]) {
    const withdrawals = network(1);
    withdrawals.update(leases(1, 1), own, 1, false);
    withdrawals.update([], own, 2, false);
    t.is(withdrawals.held.length, 1);
    const other = network(1);
    other.update([], 1, 1, false);
    t.is(other.held.length, 0);
    other.update([], own, 2, false);
    t.is(other.held.length, 1);
  }
});

test("leases that go one after another are a mass within ten seconds, and none after more", (t) => {
  const quick = network(5);
  for (let n = 1; n <= 3; n++) quick.update(leases(n + 1, 5), 1, n * 4000, false);
  t.deepEqual(keys(quick.held), keys(leases(1, 3)), "the first comes back with the third");
  const slow = network(5);
  for (let n = 1; n <= 3; n++) slow.update(leases(n + 1, 5), 1, n * 6000, false);
  t.is(slow.held.length, 0);
});

test("C23: who goes slowly is held to the last one", (t) => {
  const withdrawals = network(5);
  for (let n = 1; n <= 5; n++) withdrawals.update(leases(n + 1, 5), 1, n * 1000, false);
  t.deepEqual(keys(withdrawals.held).sort(), keys(leases(1, 5)));
});

test("C23: leases that are back before anybody has looked count as vanished", (t) => {
  const withdrawals = network(8);
  withdrawals.update(leases(2, 8, 2), 2, 1, false);
  t.deepEqual(keys(withdrawals.held), keys([lease(1)]), "all went, all but one are back");
  const inParts = network(8);
  inParts.update([...leases(2, 4, 2), ...leases(5, 8)], 1, 1, false);
  t.is(inParts.held.length, 0, "four of eight");
  inParts.update([...leases(2, 4, 2), ...leases(6, 8)], 1, 2, false);
  t.deepEqual(keys(inParts.held), keys([lease(1), lease(5)]));
});

test("what is only remembered may be any entry of its key", (t) => {
  const withdrawals = network(8, HOLD, -1);
  withdrawals.update(leases(2, 8), 1, 1, false);
  t.is(withdrawals.held.length, 0, "one has left");
  const pair = network(1, HOLD, -1);
  pair.update([], 1, 1, false);
  t.is(pair.held.length, 0, "the other has left");
  const emptied = network(1, HOLD, -1);
  emptied.update([], null, 1, false);
  t.is(emptied.held.length, 1);
});

test("a lease that is given up is not held again for those that went with it", (t) => {
  const withdrawals = network(8, 1000);
  withdrawals.update(leases(6, 8), 1, 0, false);
  withdrawals.update(leases(6, 8), 1, 1000, true);
  t.is(withdrawals.held.length, 0);
  withdrawals.update(leases(7, 8), 1, 1001, false);
  t.is(withdrawals.held.length, 0);
});

test("a hold ends when its time is up and a fresh look still misses the lease, not before", (t) => {
  const withdrawals = network(4);
  t.is(withdrawals.dueAt, null);
  withdrawals.update([], 1, 1000, false);
  t.is(withdrawals.dueAt, 1000 + HOLD);
  withdrawals.update([], 1, 1000 + HOLD - 1, true);
  t.is(withdrawals.held.length, 4);
  withdrawals.update([], 1, 1000 + HOLD, false);
  t.is(withdrawals.held.length, 4, "nobody has looked");
  withdrawals.update([lease(2)], 1, 1000 + HOLD, true);
  t.is(withdrawals.held.length, 0);
  t.is(withdrawals.dueAt, null);
});

test("a held lease that is back, or whose subnet has a new lease, is held no more", (t) => {
  const withdrawals = network(4);
  withdrawals.update([], 1, 1, false);
  withdrawals.update([lease(2), lease(3, "&fd05::-64")], 1, 2, false);
  t.deepEqual(keys(withdrawals.held), keys([lease(1), lease(4)]));
});

test("a hold of 0 believes everything at once", (t) => {
  const withdrawals = network(50, 0);
  withdrawals.update([], null, 1, false);
  t.deepEqual(withdrawals.held, []);
});

test("whatever comes and goes: no lease is lost by the mass, none is kept beside a new one, none for ever", (t) => {
  const steps = fc.array(
    fc.record({
      standing: fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { maxLength: 30 }),
      pauseMs: fc.nat(20_000),
      fresh: fc.boolean(),
      revision: fc.integer({ min: 1, max: 2 }),
    }),
    { minLength: 1, maxLength: 20 },
  );
  fc.assert(
    fc.property(steps, (all) => {
      const withdrawals = create(HOLD);
      let now = 0;
      let before = new Set<string>();
      for (const { standing, pauseMs, fresh, revision } of all) {
        now += pauseMs;
        const heldBefore = new Set(keys(withdrawals.held));
        const list = standing.map((n) => lease(n, "", revision));
        withdrawals.update(list, 1, now, fresh);
        const standingKeys = new Set(keys(list));
        const held = keys(withdrawals.held);
        const lost = [...before].filter((key) => !standingKeys.has(key));
        const kept = lost.filter((key) => held.includes(key));
        t.true(kept.length === 0 || kept.length === lost.length, "all of a mass, or none");
        if (lost.length > 1 && lost.length > before.size / 2) t.is(kept.length, lost.length);
        t.false(held.some((key) => standingKeys.has(key)));
        for (const key of heldBefore) t.true(held.includes(key) || standingKeys.has(key) || now >= HOLD);
        before = standingKeys;
      }
      withdrawals.update([], 1, now + 3 * HOLD, true);
      withdrawals.update([], 1, now + 6 * HOLD, true);
      t.deepEqual(withdrawals.held, []);
    }),
  );
});
