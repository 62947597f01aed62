/** The bench on real beds, as short as it gets: every subject carries, and a wire that is none is refused. */
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test from "ava";
import { parseArguments } from "../../bench/arguments.js";
import { Bed } from "../../bench/bed.js";
import { measure } from "../../bench/measure.js";
import { Progress } from "../../bench/progress.js";
import { figures, type Results } from "../../bench/results.js";
import { subjects } from "../../bench/subjects.js";
import { temporaryDirectory, run } from "../support/process.js";

test.before("programs", async () => {
  await run("make", ["-C", fileURLToPath(new URL("../../../native", import.meta.url)), "--silent", "bench"]);
});

async function bench(...args: string[]): Promise<Results> {
  const request = parseArguments(["--rounds=1", "--seconds=0.1", ...args]);
  if (request === null) throw new Error("help");
  return measure(request.plan, new Progress());
}

test.serial("what is known is measured with what is asked for", async (t) => {
  const workloads = ["--workloads=tcp-1,udp-64,rr,ping", "--models=wire", "--mtu=1500"];
  const results = await bench("--subjects=kernel,weft-vxlan,flannel-loop", ...workloads);
  for (const value of ["gbps", "p50"]) {
    for (const { subject, workload, median, ratio } of figures(results, value)) {
      t.true(median > 0 && ratio !== null, `${subject}, ${workload}: ${median}`);
    }
  }
  // While other tests run, there may be no rate without loss.
  for (const { subject, median } of figures(results, "kpps")) t.true(Number.isFinite(median), subject);
  t.is(results.series.length, 4 * 3);
  t.false(results.features.wire?.includes("tcp-segmentation-offload"));
  t.true((results.nanoseconds["fib-10k"] ?? 0) > 0);
});

test.serial("a script starts and stops a daemon that the bench does not know", async (t) => {
  const directory = await temporaryDirectory(t.teardown);
  const script = join(directory, "routes.sh");
  const log = join(directory, "log");
  await writeFile(
    script,
    `#!/bin/sh
    set -eu
    echo "$1 $BENCH_HOST $BENCH_SUBNET" >>${log}
    test -d "$BENCH_DIRECTORY"
    if [ "$1" = start ]; then
      ip route add "$BENCH_PEER_SUBNET" via "$BENCH_PEER_ADDRESS" dev "$BENCH_INTERFACE"
      echo "$BENCH_MTU"
    fi`,
  );
  await chmod(script, 0o755);
  const external = [`--external=routes=${script}`, "--subjects=routes"];
  const results = await bench(...external, "--workloads=rr", "--models=offload");
  t.true((figures(results, "p50")[0]?.median ?? 0) > 0);
  t.deepEqual((await run("cat", [log])).trim().split("\n"), [
    "start 1 10.5.1.0/24",
    "start 2 10.5.2.0/24",
    "stop 2 10.5.2.0/24",
    "stop 1 10.5.1.0/24",
  ]);
});

test.serial("a wire on which super-packets cross is refused", async (t) => {
  const bed = await Bed.create({ model: "wire", mtu: 1500, peers: 1 }, t.teardown);
  const ends = await subjects.find(({ name }) => name === "routing")?.start(bed, []);
  if (ends === undefined) return t.fail();
  await bed.mustCarryNothingLong(ends);
  await bed.sites[0].ns.run("ethtool", ["-K", "eth0", "tso", "on", "gso", "on"]);
  await t.throwsAsync(bed.mustCarryNothingLong(ends), {
    message: /^not a wire: a datagram of \d{4,5} bytes/,
  });
});
