/**
 * C15: the wall clock of a daemon is moved by a year, forth and back, while it runs. Nothing but the time in its log
 * may notice. libfaketime (Debian's package faketime) moves it; the other clocks go on.
 *
 *     host1: weftd ── host2: etcd
 */
import { existsSync, readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { EtcdBed } from "../support/etcd-bed.js";
import { etcdLease, PREFIX } from "../support/etcd-nodes.js";
import { recordFinding } from "../support/findings.js";
import { temporaryDirectory, until } from "../support/process.js";

const KEY = `${PREFIX}/subnets/10.5.40.0-24`;
const peerKey = (n: number): string => `${PREFIX}/subnets/10.5.${n}.0-24`;

/** Debian puts it into a directory of the machine's architecture. */
function libfaketime(): string {
  const paths = readdirSync("/usr/lib").map((name) => join("/usr/lib", name, "faketime/libfaketime.so.1"));
  const found = paths.find((path) => existsSync(path));
  if (found === undefined) throw new Error("libfaketime is missing: scripts/setup.sh installs it");
  return found;
}

test("C15: a wall clock that jumps by a year, forth and back, changes nothing", async (t) => {
  t.timeout(90_000);
  const net = await EtcdBed.start(t.teardown, { Network: "10.5.0.0/16" }, { hosts: 1 });
  const { etcd } = net;
  // A lease that is renewed every second.
  const [, id = ""] = /lease ([0-9a-f]+)/.exec(await etcd.ctl("lease", "grant", "8")) ?? [];
  await etcd.ctl("put", KEY, '{"PublicIP":"192.0.2.1","PublicIPv6":null}', `--lease=${id}`);
  const clock = join(await temporaryDirectory(t.teardown), "clock");
  await writeFile(clock, "+0");
  const weftd = await net.launch(net.bed.host(1), {}, [
    "env",
    `LD_PRELOAD=${libfaketime()}`,
    `FAKETIME_TIMESTAMP_FILE=${clock}`,
    "FAKETIME_NO_CACHE=1",
    "FAKETIME_DONT_FAKE_MONOTONIC=1",
  ]);
  await weftd.ready();
  const renewals = async (): Promise<number> => (await etcd.requests()).get("LeaseKeepAlive") ?? 0;
  const lines = weftd.log().length;
  const years = [new Date().getFullYear()];
  for (const [index, offset] of ["+365d", "-365d", "+0"].entries()) {
    await writeFile(clock, offset);
    const before = await renewals();
    await etcd.put(peerKey(100 + index), `{"PublicIP":"192.0.2.${100 + index}","PublicIPv6":null}`);
    await weftd.peers(index + 1);
    await until("two renewals", async () => ((await renewals()) >= before + 2 ? true : null));
    const { health, registry } = await weftd.ask("/status");
    t.is(health.state, "ready");
    t.true(registry.connected);
    t.true((registry.leaseTtlSeconds ?? 0) > 4 && (registry.leaseTtlSeconds ?? 99) <= 8);
    years.push(new Date(String(weftd.log().at(-1)?.["time"])).getFullYear());
  }
  const [now = 0] = years;
  t.deepEqual(years, [now, now + 1, now - 1, now], "the daemon's clock did jump");
  t.is(await etcdLease(etcd, KEY), id);
  t.deepEqual(
    [
      ...new Set(
        weftd
          .log()
          .slice(lines)
          .map(({ msg }) => msg),
      ),
    ],
    ["peers changed"],
  );
  recordFinding({
    row: "C15",
    fault: "the wall clock jumps a year ahead, two back and one ahead",
    test: t.title,
    bound: "no effect",
    measured: "no line in the log, renewals and routes go on",
  });
});
