/**
 * What TypeScript makes of netlink, against bytes that no kernel would send: the counterpart of native/fuzz/netlink.c,
 * which stops where the messages begin to mean something. Whatever arrives is taken apart without reading outside of
 * it; what does not fit is left out or a RangeError, and what is read of an address is one.
 */
import test from "ava";
import fc from "fast-check";
import {
  attribute,
  message,
  nested,
  parseAttributes,
  parseEnding,
  parseMessages,
  u8,
} from "../../src/linux/netlink-message.js";
import { parseAddress, parseLink, parseRoute } from "../../src/linux/rtnetlink.js";

const RUNS = { numRuns: 3000, seed: 1 };

/** A body that begins like a real one: fixed part, then attributes of any type, value and nesting, then damage. */
const attributes = fc.letrec<{ one: Uint8Array; value: Uint8Array }>((tie) => ({
  one: fc.tuple(fc.nat(30), tie("value")).map(([type, value]) => attribute(type, value)),
  value: fc.oneof(
    { depthSize: "small" },
    fc.uint8Array({ maxLength: 20 }),
    fc.array(tie("one"), { maxLength: 3 }).map((list) => Buffer.concat(list)),
  ),
}));

const body = fc
  .tuple(
    fc.constantFrom(2, 10, 0, 255),
    fc.uint8Array({ minLength: 15, maxLength: 15 }),
    fc.array(attributes.one, { maxLength: 6 }),
    fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
    fc.nat(300),
  )
  .map(([family, fixed, list, changes, length]) => {
    const bytes = Buffer.concat([u8(family), fixed, ...list]);
    for (const [at, value] of changes) bytes[at % bytes.length] = value;
    return new Uint8Array(bytes.subarray(0, length));
  });

const datagram = fc
  .tuple(
    fc.array(
      fc.tuple(fc.constantFrom(2, 3, 16, 20, 24), fc.nat(0xffff), body).map((parts) => message(...parts)),
      { maxLength: 4 },
    ),
    fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
  )
  .map(([messages, changes]) => {
    const bytes = new Uint8Array(Buffer.concat(messages));
    for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
    return bytes;
  });

/** Whether `part` is a view of bytes of `whole`. */
function lies(part: Uint8Array, whole: Uint8Array): boolean {
  const start = part.byteOffset - whole.byteOffset;
  return part.buffer === whole.buffer && start >= 0 && start + part.length <= whole.length;
}

function readsOrRefuses(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch (error) {
    return error instanceof RangeError;
  }
}

test("messages and attributes lie within what they were taken from", (t) => {
  fc.assert(
    fc.property(fc.oneof(datagram, fc.uint8Array({ maxLength: 200 })), (bytes) => {
      for (const { body: inner } of parseMessages(bytes)) {
        const list = parseAttributes(inner);
        if (!lies(inner, bytes) || ![...list.values()].every((value) => lies(value, inner))) return false;
        for (const type of list.keys())
          if (![...nested(list, type).values()].every((value) => lies(value, inner))) return false;
      }
      return true;
    }),
    RUNS,
  );
  t.pass();
});

test("an answer's end is read, or is a RangeError", (t) => {
  fc.assert(
    fc.property(datagram, (bytes) =>
      parseMessages(bytes).every((each) => readsOrRefuses(() => parseEnding(each))),
    ),
    RUNS,
  );
  t.pass();
});

test("links, addresses and routes are read, or are a RangeError", (t) => {
  fc.assert(
    fc.property(body, (bytes) =>
      [parseLink, parseAddress, parseRoute].every((parse) => readsOrRefuses(() => parse(bytes))),
    ),
    RUNS,
  );
  t.pass();
});

test("what is read of an address or a route is one", (t) => {
  let read = 0;
  fc.assert(
    fc.property(body, (bytes) => {
      for (const parse of [parseAddress, parseRoute]) {
        let found: ReturnType<typeof parse>;
        try {
          found = parse(bytes);
        } catch {
          continue;
        }
        if (found === null) continue;
        read++;
        const { ip, length } = "address" in found ? found.address : found.destination;
        if (ip.bytes.length !== (ip.family === 4 ? 4 : 16) || length > 8 * ip.bytes.length) return false;
      }
      return true;
    }),
    RUNS,
  );
  t.true(read > 100, `${read} were read`);
});
