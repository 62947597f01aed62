/** Capture files, byte for byte as the specification has them, and as another reader takes them. */
import test from "ava";
import { fileHeader, filePacket, fileStatistics } from "../../src/observe/pcapng.js";
import { readPcapng } from "../support/pcapng.js";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const words = (text: string): string => text.replace(/\s/g, "");

test("the header is a section of unknown length and one description per interface", (t) => {
  const header = fileHeader("weft 1", [{ name: "weft0 in", description: "read" }]);
  t.is(
    hex(header),
    words(`0a0d0d0a 2c000000 4d3c2b1a 0100 0000 ffffffffffffffff
             0400 0600 776566742031 0000  0000 0000 2c000000
           01000000 34000000 0000 0000 00000000
             0200 0800 7765667430 20696e  0300 0400 72656164  0900 0100 09000000  0000 0000 34000000`),
  );
});

test("a packet has its time in two halves, its family in front, and is padded", (t) => {
  const timeNs = 0x1122334455667788n;
  const packet = { interface: 2, timeNs, direction: "out", length: 99, comment: "gone" } as const;
  t.is(
    hex(filePacket({ ...packet, bytes: Uint8Array.of(0x45, 1, 2) })),
    words(`06000000 3c000000 02000000 44332211 88776655 07000000 67000000 02000000 450102 00
             0100 0400 676f6e65  0200 0400 02000000  0000 0000 3c000000`),
  );
});

test("statistics tell what was wanted and what is missing", (t) => {
  t.is(
    hex(fileStatistics(3, 1n, { received: 258, dropped: 5 })),
    words(`05000000 34000000 03000000 00000000 01000000
             0400 0800 0201000000000000  0500 0800 0500000000000000  0000 0000 34000000`),
  );
});

test("what was written is read again: any length, any text, both families, no bytes at all", (t) => {
  const comments = ["", "dropped: ttl – TTL or hop limit used up", "naïve ☃"];
  const packets = comments.flatMap((comment, i) =>
    [0, 1, 2, 3, 4, 1500].map((length) => {
      const bytes = new Uint8Array(length).fill(i === 1 ? 0x60 : 0x45);
      const direction = i === 0 ? ("in" as const) : ("out" as const);
      return { interface: i, timeNs: BigInt(length), direction, bytes, length: length + i, comment };
    }),
  );
  const interfaces = ["a", "bb", "ccc"].map((name) => ({ name, description: `about ${name}` }));
  const file = readPcapng(
    Buffer.concat([
      fileHeader("test", interfaces),
      ...packets.map(filePacket),
      fileStatistics(1, 5n, { received: 7, dropped: 1 }),
    ]),
  );
  t.is(file.application, "test");
  t.deepEqual(file.interfaces[2], { name: "ccc", linkType: 0, snaplen: 0, ticksPerSecond: 1e9 });
  t.deepEqual(
    file.packets.map(({ on, bytes, ...rest }) => ({ ...rest, on, bytes: hex(bytes) })),
    packets.map(({ interface: number, bytes, ...rest }) => ({
      ...rest,
      on: interfaces[number]?.name ?? "",
      bytes: hex(bytes),
    })),
  );
  t.deepEqual([...file.statistics], [[1, { received: 7, dropped: 1 }]]);
});
