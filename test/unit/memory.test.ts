/** C1: the file that a start without etcd begins with: read as it was written, or not at all. */
import test from "ava";
import fc from "fast-check";
import { formatMemory, type Memory, parseMemory } from "../../src/lease/memory.js";

const lease = (n: number) => ({
  key: `10.5.${n}.0-24`,
  value: `{"PublicIP":"10.99.0.${n}","PublicIPv6":null}`,
});
const MEMORY: Memory = {
  prefix: "/coreos.com/network",
  endpoints: ["http://127.0.0.1:2379"],
  config: '{"Network":"10.5.0.0/16"}',
  own: lease(1),
  peers: Array.from({ length: 50 }, (_, n) => lease(n + 2)),
};
const FILE = Buffer.from(formatMemory(MEMORY).text);

test("C1: what was written is read again", (t) => {
  t.deepEqual(parseMemory(FILE), MEMORY);
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.array(fc.string()), (text, texts) => {
      const memory = {
        ...MEMORY,
        prefix: text,
        config: text,
        peers: texts.map((value) => ({ key: text, value })),
      };
      t.deepEqual(parseMemory(Buffer.from(formatMemory(memory).text)), memory);
    }),
  );
});

test("C1: every truncation is noticed", (t) => {
  for (let length = 0; length < FILE.length; length++) {
    if (parseMemory(FILE.subarray(0, length)) !== null) t.fail(`cut to ${length} bytes`);
  }
  t.is(parseMemory(Buffer.concat([FILE, Buffer.from("\n")])), null);
});

test("C1: every flipped bit is noticed, and any other damage", (t) => {
  for (let bit = 0; bit < FILE.length * 8; bit++) {
    const damaged = Buffer.from(FILE);
    damaged.writeUInt8(damaged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    if (parseMemory(damaged) !== null) t.fail(`bit ${bit}`);
  }
  const anyDamage = fc.tuple(fc.nat(FILE.length), fc.nat(200), fc.uint8Array({ maxLength: 200 }));
  fc.assert(
    fc.property(anyDamage, ([at, cut, bytes]) => {
      const damaged = Buffer.concat([FILE.subarray(0, at), bytes, FILE.subarray(at + cut)]);
      t.is(parseMemory(damaged) !== null, damaged.equals(FILE));
    }),
    { numRuns: 2000 },
  );
  t.is(parseMemory(Buffer.from("anything\n{}\n")), null);
});
