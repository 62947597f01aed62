/** The guard of .ci/run fails when weft has lost an offload: measured, as it does it. */
import { fileURLToPath } from "node:url";
import test from "ava";
import { tryRun } from "../support/process.js";

const guard = fileURLToPath(new URL("../../bench/guard.js", import.meta.url));

for (const left of ["none", "uso,gso,gro", "tso,gso,gro", "tso,uso,gro", "tso,uso,gso"]) {
  test.serial(`the guard fails with --offload=${left}`, async (t) => {
    const { code, stdout } = await tryRun(process.execPath, [guard, `--weftd=--offload=${left}`], {
      timeoutMs: 240_000,
    });
    t.is(code, 1, stdout);
    t.regex(stdout, /weft-udp reaches [\d.]+ of/);
  });
}
