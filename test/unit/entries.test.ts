/** How much of a registry is kept, whatever somebody has written into it. */
import test from "ava";
import { Entries, type Entry, isWhole, MOST_ENTRIES, toEntry } from "../../src/etcd/entries.js";

const kv = (key: Buffer | string, value: string, revision = 1) => ({
  key: Buffer.from(key),
  value: Buffer.from(value),
  create_revision: String(revision),
  mod_revision: String(revision),
  lease: "0",
});

/** Key number n, made at a revision. */
function entry(n: number, createRevision: number, modRevision = createRevision): Entry {
  return { key: `key${n}`, value: "", createRevision, modRevision, lease: "0" };
}

test("a key or a value that is too long for a lease is cut, and keys stay apart", (t) => {
  const usual = toEntry(kv("/subnets/10.5.1.0-24", "{}"));
  t.deepEqual([usual.key, usual.value, isWhole(usual)], ["/subnets/10.5.1.0-24", "{}", true]);
  const long = ["a", "b"].map((last) =>
    toEntry(kv(`${"x".repeat(1_000_000)}${last}`, "y".repeat(1_000_000))),
  );
  t.not(long[0]?.key, long[1]?.key);
  for (const each of long) {
    t.true(each.key.length < 2000);
    t.is(each.value.length, 4097, "too long to be read");
    t.false(isWhole(each));
  }
  // Whatever bytes a whole key has, it is not taken for one that was cut.
  t.true(isWhole(toEntry(kv(Buffer.from("…"), "{}"))));
});

test("of a list of too many keys the oldest stay, whatever order they come in, and the others are counted", (t) => {
  const entries = new Entries();
  const count = 3 * MOST_ENTRIES;
  // 7919 is prime to the count: every revision comes once.
  for (let n = 0; n < count; n++) entries.add(entry(n, 1 + ((n * 7919) % count)));
  entries.prune();
  t.is(entries.byKey.size, MOST_ENTRIES);
  t.is(entries.others, count - MOST_ENTRIES);
  t.true([...entries.byKey.values()].every(({ createRevision }) => createRevision <= MOST_ENTRIES));
});

test("events of keys that are not kept are counted, and enough that go make room for those", (t) => {
  const entries = new Entries();
  for (let n = 0; n < MOST_ENTRIES; n++) entries.put(entry(n, n + 1));
  t.is(entries.others, 0);
  entries.put(entry(-1, 900_000));
  entries.put(entry(-1, 900_000, 900_001));
  t.deepEqual([entries.byKey.size, entries.others], [MOST_ENTRIES, 1]);
  entries.put(entry(5, 6, 900_002));
  t.is(entries.byKey.get("key5")?.modRevision, 900_002);
  t.false(entries.delete("key5"));
  t.false(entries.delete("key-1"), "nobody waits for room");
  t.is(entries.others, 0);
  entries.put(entry(5, 900_003));
  entries.put(entry(-2, 900_004));
  t.is(entries.others, 1);
  let deleted = 0;
  while (!entries.delete(`key${deleted}`)) deleted++;
  t.true(deleted > MOST_ENTRIES / 2 - 2 && deleted < MOST_ENTRIES / 2 + 2, `${deleted} were deleted`);
});
