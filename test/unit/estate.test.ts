/** H18: what one daemon leaves to the next: read back as it was written, and not used when a byte of it is wrong. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { type Estate, readEstate, writeEstate } from "../../src/dataplane/estate.js";
import { noteLasting, noteStart } from "../../src/resume.js";
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
  },
  rows: [Buffer.from([1, 2]), Buffer.from([]), Buffer.from([255])],
};

test("an estate is read as it was written", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  t.is(readEstate(directory), null);
  writeEstate(directory, ESTATE);
  writeEstate(directory, ESTATE);
  t.deepEqual(readEstate(directory), ESTATE);
});

test("H18: no estate that was cut or flipped anywhere is used", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  writeEstate(directory, ESTATE);
  const path = join(directory, "estate");
  const right = readFileSync(path);
  for (let i = 0; i < right.length; i++) {
    const flipped = Buffer.from(right);
    flipped[i] = (flipped[i] ?? 0) ^ 1;
    for (const content of [flipped, right.subarray(0, i)]) {
      writeFileSync(path, content);
      t.is(readEstate(directory), null, `byte ${i}`);
    }
  }
  writeFileSync(path, right.toString().replace("weft-estate 1", "weft-estate 2"));
  t.is(readEstate(directory), null, "another version");
});

test("processes that keep dying wait longer and longer, until one lasts", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  const start = (now: number): number => {
    const { waitMs, carrying, over } = noteStart(directory, now);
    carrying(now);
    over();
    return waitMs;
  };
  const waits = Array.from({ length: 12 }, (_, i) => start(1000 + i));
  t.deepEqual(waits, [0, 0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  t.is(start(2000), 0, "long ago");
  for (let i = 0; i < 5; i++) start(2001 + i);
  noteLasting(directory);
  t.is(start(2010), 0);
  for (const note of ["", "{", '{"count":"9","at":2010}', "null", '{"count":-1e9,"at":2010}', "[]"]) {
    writeFileSync(join(directory, "starts"), note);
    t.is(start(2011), 0, note);
  }
});

test("packets wait with a process only after one died of carrying them, at once", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  for (let i = 0; i < 4; i++) noteStart(directory, 1000).over();
  const first = noteStart(directory, 1001);
  t.like(first, { waitMs: 200, silenceMs: 0 });
  // It dies before its wait is over.
  first.carrying(1001.1);
  const second = noteStart(directory, 1001.4);
  t.like(second, { waitMs: 400, silenceMs: 400 });
  second.carrying(1001.9);
  // It dies of something else.
  second.over();
  const third = noteStart(directory, 1002.5);
  t.like(third, { waitMs: 800, silenceMs: 0 });
  // Somebody ends it.
  third.carrying(1002.5);
  const fourth = noteStart(directory, 1003.5);
  t.like(fourth, { waitMs: 800, silenceMs: 0 });
  let last = fourth;
  for (let now = 1004; now < 1006; now += 0.2) {
    last.carrying(now);
    last = noteStart(directory, now + 0.1);
  }
  t.like(last, { waitMs: 10_000, silenceMs: 1000 }, "no longer than the queues hold");
});

test("somebody who kills a service every second or two has it wait no longer every time", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  let now = 1000;
  for (let i = 0; i < 40; i++) {
    const { waitMs, silenceMs, carrying, over } = noteStart(directory, now);
    t.is(silenceMs, 0);
    t.true(waitMs <= 3200, `${waitMs} ms`);
    carrying(now);
    const life = 1 + (i % 5) / 5;
    if (life > waitMs / 1000) over();
    now += life;
  }
});

test("what resumes loads no package: packets wait for it", async (t) => {
  const entry = new URL("../../src/resume.js", import.meta.url).href;
  const program = `
    import { createRequire } from "node:module";
    await import(${JSON.stringify(entry)});
    console.log(JSON.stringify(Object.keys(createRequire(${JSON.stringify(entry)}).cache)));`;
  const loaded = JSON.parse(await run(process.execPath, ["--input-type=module", "-e", program])) as string[];
  t.deepEqual(
    loaded.filter((path) => path.includes("node_modules")),
    [],
  );
});
