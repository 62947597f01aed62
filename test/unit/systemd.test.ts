/** The systemd unit, as systemd itself judges it, where it is installed. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { temporaryDirectory, tryRun } from "../support/process.js";

const ANALYZE = "/usr/bin/systemd-analyze";

(existsSync(ANALYZE) ? test : test.skip)("systemd-analyze verify accepts the unit", async (t) => {
  const unit = readFileSync(new URL("../../../systemd/weftd.service", import.meta.url), "utf8");
  t.regex(unit, /^ExecStart=\/usr\/bin\/weftd$/m);
  const path = join(await temporaryDirectory((cleanup) => t.teardown(cleanup)), "weftd.service");
  writeFileSync(
    path,
    unit.replaceAll(/^(ExecStart|ExecReload)=\/usr\/bin\/weftd?/gm, `$1=${process.execPath}`),
  );
  t.deepEqual(await tryRun(ANALYZE, ["verify", path]), { code: 0, stdout: "", stderr: "" });
});

(existsSync(ANALYZE) ? test : test.skip)("systemd-analyze finds little exposure", async (t) => {
  const path = new URL("../../../systemd/weftd.service", import.meta.url).pathname;
  const { stdout } = await tryRun(ANALYZE, ["security", "--offline=true", "--no-pager", path]);
  const [, exposure] = /exposure level for weftd.service: ([\d.]+)/.exec(stdout) ?? [];
  t.true(Number(exposure) <= 2, stdout);
});
