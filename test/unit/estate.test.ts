/** H18: what one daemon leaves to the next: read back as it was written, and not used when a byte of it is wrong. */
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import test from "ava";
import estates from "../../src/dataplane/estate.cjs";
import type { Estate } from "../../src/dataplane/inheritance.js";
import resume from "../../src/resume.cjs";
import { run, temporaryDirectory } from "../support/process.js";

const ESTATE: Estate = {
  settings: {
    tun: "weft0",
    format: "vxlan",
    port: 8472,
    underlay4: true,
    underlay6: false,
    offloads: ["gso"],
    workers: 1,
    realtime: true,
  },
  rows: [Buffer.from([1, 2]), Buffer.from([]), Buffer.from([255])],
};

test("an estate is read as it was written", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  t.is(estates.readEstate(directory), null);
  estates.writeEstate(directory, ESTATE);
  estates.writeEstate(directory, ESTATE);
  t.deepEqual(estates.readEstate(directory), ESTATE);
});

test("H18: no estate that was cut or flipped anywhere is used", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  estates.writeEstate(directory, ESTATE);
  const path = join(directory, "estate");
  const right = readFileSync(path);
  for (let i = 0; i < right.length; i++) {
    const flipped = Buffer.from(right);
    flipped[i] = (flipped[i] ?? 0) ^ 1;
    for (const content of [flipped, right.subarray(0, i)]) {
      writeFileSync(path, content);
      t.is(estates.readEstate(directory), null, `byte ${i}`);
    }
  }
  writeFileSync(path, right.toString().replace(/^weft-estate \d+/, "weft-estate 9"));
  t.is(estates.readEstate(directory), null, "another version");
});

test("processes that keep dying wait longer and longer, until one lasts", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  const start = (now: number): number => {
    const { waitMs, carrying, over } = resume.noteStart(directory, now);
    carrying(now);
    over();
    return waitMs;
  };
  const waits = Array.from({ length: 12 }, (_, i) => start(1000 + i));
  t.deepEqual(waits, [0, 0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  t.is(start(2000), 0, "long ago");
  for (let i = 0; i < 5; i++) start(2001 + i);
  resume.noteLasting(directory);
  t.is(start(2010), 0);
  for (const note of ["", "{", '{"count":"9","at":2010}', "null", '{"count":-1e9,"at":2010}', "[]"]) {
    writeFileSync(join(directory, "starts"), note);
    t.is(start(2011), 0, note);
  }
});

test("packets wait with a process only after one died of carrying them, at once", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  for (let i = 0; i < 4; i++) resume.noteStart(directory, 1000).over();
  const first = resume.noteStart(directory, 1001);
  t.like(first, { waitMs: 200, silenceMs: 0 });
  // It dies before its wait is over.
  first.carrying(1001.1);
  const second = resume.noteStart(directory, 1001.4);
  t.like(second, { waitMs: 400, silenceMs: 400 });
  second.carrying(1001.9);
  // It dies of something else.
  second.over();
  const third = resume.noteStart(directory, 1002.5);
  t.like(third, { waitMs: 800, silenceMs: 0 });
  // Somebody ends it.
  third.carrying(1002.5);
  const fourth = resume.noteStart(directory, 1003.5);
  t.like(fourth, { waitMs: 800, silenceMs: 0 });
  let last = fourth;
  for (let now = 1004; now < 1006; now += 0.2) {
    last.carrying(now);
    last = resume.noteStart(directory, now + 0.1);
  }
  t.like(last, { waitMs: 10_000, silenceMs: 1000 }, "no longer than the queues hold");
});

test("somebody who kills a service every second or two has it wait no longer every time", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  let now = 1000;
  for (let i = 0; i < 40; i++) {
    const { waitMs, silenceMs, carrying, over } = resume.noteStart(directory, now);
    t.is(silenceMs, 0);
    t.true(waitMs <= 3200, `${waitMs} ms`);
    carrying(now);
    const life = 1 + (i % 5) / 5;
    if (life > waitMs / 1000) over();
    now += life;
  }
});

test("packets wait for no more than a handful of files: no package, no ES module, nothing of Node's that is not there", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  estates.writeEstate(directory, ESTATE);
  const file = (name: string): string =>
    JSON.stringify(fileURLToPath(new URL(`../../src/${name}`, import.meta.url)));
  const program = `
    const before = new Set(process.moduleLoadList);
    const { resume } = require(${file("resume.cjs")});
    resume({ WEFT_RUN_DIR: ${JSON.stringify(directory)}, NOTIFY_SOCKET: "@none" });
    const estate = require(${file("dataplane/estate.cjs")}).readEstate(${JSON.stringify(directory)});
    const builtin = process.moduleLoadList.filter((name) => !before.has(name));
    console.log(JSON.stringify({ builtin, files: Object.keys(require.cache), read: estate !== null }));`;
  const found = JSON.parse(await run(process.execPath, ["-e", program])) as {
    readonly builtin: readonly string[];
    readonly files: readonly string[];
    readonly read: boolean;
  };
  t.true(found.read);
  t.deepEqual(found.files.map((path) => basename(path)).sort(), [
    "estate.cjs",
    "load.cjs",
    "open.cjs",
    "resume.cjs",
    "weft.node",
  ]);
  t.deepEqual(found.builtin, []);
});
