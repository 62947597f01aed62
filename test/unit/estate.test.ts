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
    const { waitMs, go } = noteStart(directory, now);
    go();
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

test("packets wait with a process only after one died of carrying them", async (t) => {
  const directory = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  for (let i = 0; i < 4; i++) noteStart(directory, 1000).go();
  t.like(noteStart(directory, 1001), { waitMs: 200, first: false });
  // It died before its wait was over.
  const next = noteStart(directory, 1002);
  t.like(next, { waitMs: 400, first: true });
  next.go();
  t.like(noteStart(directory, 1003), { waitMs: 800, first: false });
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
