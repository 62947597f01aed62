/**
 * Whether the hunt would find anything: each of `native/differential/mutations` puts one fault into a copy of the core,
 * and core and model must then differ. A patch that does not apply any more fails: make it anew for the code of today.
 */
import { readdirSync, readFileSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { run, temporaryDirectory } from "../support/process.js";
import { Core, native } from "./core.js";
import { hunt } from "./hunt.js";
import { scenarios } from "./scenarios.js";

/** Many times what it takes. */
const PACKETS = 60_000;
const SEED = 1;

const mutations = join(native, "differential/mutations");
const files = readdirSync(mutations);

test("there are ten faults at least", (t) => t.true(files.length >= 10));

for (const file of files) {
  const patch = join(mutations, file);
  test.serial(`${file}: ${readFileSync(patch, "utf8").split("\n", 1).join("")}`, async (t) => {
    t.timeout(300_000);
    const directory = await temporaryDirectory(t.teardown);
    for (const part of ["core", "differential", "Makefile"]) {
      await cp(join(native, part), join(directory, part), { recursive: true });
    }
    await run("patch", ["--batch", "--fuzz=0", "-p1", "-d", directory, "-i", patch]);
    await run("make", ["-C", directory, "differential", "CFLAGS=-O0"]);
    const start = (): Promise<Core> => Core.start(join(directory, "out/differential"), t.teardown);
    const found = await hunt(start, scenarios("vxlan"), PACKETS, SEED, { shrink: false });
    t.log(`after ${found.packets} packets`);
    t.not(found.difference, null);
  });
}
