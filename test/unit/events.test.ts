/** What the log says about events of the dataplane, over the addon's own table of drop reasons. */
import test from "ava";
import { FLAG_NAMES } from "../../src/config/flags.js";
import { ADVICE, logEvent } from "../../src/dataplane/events.js";
import type { DataplaneEvent } from "../../src/native/bindings.js";
import load from "../../src/native/load.cjs";
import { createLog } from "../../src/observe/log.js";

const rxDrops = load
  .loadNative()
  .capabilities()
  .counters.filter(({ kind, direction }) => kind === "drop" && direction === "rx");

/** Logs one event; the lines it makes, and the failure it means. */
function log(event: Partial<DataplaneEvent>) {
  const lines: Record<string, unknown>[] = [];
  const output = {
    write: (text: string) => lines.push(JSON.parse(text) as Record<string, unknown>),
    on: () => undefined,
  };
  const names = {
    tun: "weft0",
    nodeAt: (address: string) => (address === "192.0.2.2" ? "beta" : null),
    describeDrop: (reason: string) => rxDrops.find(({ name }) => name === reason)?.description ?? null,
  };
  const complete = {
    kind: "peer-drop",
    code: "",
    address: null,
    detail: null,
    value: null,
    ...event,
  } as const;
  return { failure: logEvent(complete, names, createLog("info", output)), lines };
}

test("a drop names the peer, the reason, what it means and the flag that would admit it", (t) => {
  const { failure, lines } = log({ address: "192.0.2.2", detail: "spoofed" });
  t.is(failure, null);
  t.is(lines.length, 1);
  const [line] = lines;
  t.like(line, { level: "warn", peer: "beta", endpoint: "192.0.2.2", reason: "spoofed" });
  t.regex(
    String(line?.["msg"]),
    /^packets from a peer are dropped: inner source .*\. If .*--accept-external/,
  );
});

test("a stranger is called one, and a reason without a flag has its sentence alone", (t) => {
  const [stranger] = log({ address: "198.51.100.7", detail: "unknown_peer" }).lines;
  t.regex(String(stranger?.["msg"]), /^packets from a stranger are dropped: .*--peer-alias=/);
  t.false("peer" in (stranger ?? {}));
  const [runt] = log({ address: "192.0.2.2", detail: "runt" }).lines;
  t.is(
    runt?.["msg"],
    "packets from a peer are dropped: shorter than its headers, or than the length they tell",
  );
});

test("advice is about reasons that there are, and names flags that there are", (t) => {
  for (const [reason, sentence] of Object.entries(ADVICE)) {
    t.true(
      rxDrops.some(({ name }) => name === reason),
      reason,
    );
    const [flag = ""] = /(?<=--)[a-z-]+/.exec(sentence) ?? [];
    t.true(
      FLAG_NAMES.some((name) => name === flag),
      sentence,
    );
  }
});

test("a learned path MTU is told, and only a lost device or worker ends the daemon", (t) => {
  const { lines } = log({ kind: "path-mtu", address: "192.0.2.2", value: 1400 });
  t.like(lines[0], { level: "info", peer: "beta", endpoint: "192.0.2.2", mtu: 1400 });
  t.is(log({ kind: "peer-error", address: "192.0.2.2", code: "EHOSTUNREACH" }).failure, null);
  t.is(log({ kind: "offload-off", detail: "uso", code: "EINVAL" }).failure, null);
  t.is(log({ kind: "tun-gone", code: "EBADFD" }).failure, "the TUN device weft0 is gone (EBADFD)");
  t.is(log({ kind: "worker-failed", code: "EIO" }).failure, "a worker failed (EIO)");
});
