/** The log: JSON for programs, plain lines for a terminal, a level that follows at run time. */
import test from "ava";
import { WeftError } from "../../src/config/errors.js";
import { createLog, type Output } from "../../src/observe/log.js";

function recorder(isTTY: boolean): Output & { readonly lines: string[] } {
  const lines: string[] = [];
  return { isTTY, lines, write: (text) => lines.push(text), on: () => undefined };
}

test("a line is one JSON object with level, time, message and fields", (t) => {
  const output = recorder(false);
  createLog("info", output).child({ component: "etcd" }).warn({ endpoint: "10.0.0.5:2379" }, "registry lost");
  t.is(output.lines.length, 1);
  const { time, ...line } = JSON.parse(output.lines[0] ?? "") as Record<string, unknown>;
  t.deepEqual(line, { level: "warn", component: "etcd", endpoint: "10.0.0.5:2379", msg: "registry lost" });
  t.regex(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
});

test("only errors that nobody expected carry a stack", (t) => {
  const output = recorder(false);
  const log = createLog("info", output);
  log.error({ err: new WeftError("no TUN") }, "stopped");
  log.error({ err: Object.assign(new Error("in use"), { code: "EADDRINUSE" }) }, "stopped");
  log.error({ err: new TypeError("bug") }, "stopped");
  const errors = output.lines.map((line) => (JSON.parse(line) as { err: Record<string, unknown> }).err);
  t.deepEqual(errors.slice(0, 2), [{ message: "no TUN" }, { message: "in use", code: "EADDRINUSE" }]);
  t.is(errors[2]?.["message"], "bug");
  t.regex(String(errors[2]?.["stack"]), /TypeError: bug\n/);
});

test("a terminal gets plain lines whose values cannot forge others", (t) => {
  const output = recorder(true);
  const log = createLog("info", output);
  log.info({ peer: "10.5.1.0-24", count: 3, reason: "a\nb\u001b[2J" }, "peer added");
  log.error({ err: new WeftError("no TUN") }, "stopped");
  t.regex(
    output.lines[0] ?? "",
    /^\d\d:\d\d:\d\d info {2}peer added {2}peer=10\.5\.1\.0-24 count=3 reason="a\\nb\\u001b\[2J"\n$/,
  );
  t.regex(output.lines[1] ?? "", /^\d\d:\d\d:\d\d error stopped {2}err="no TUN"\n$/);
});

test("children follow a change of the level", (t) => {
  const output = recorder(false);
  const log = createLog("info", output);
  const child = log.child({ component: "etcd" });
  child.debug("unseen");
  log.level = "debug";
  child.debug("seen");
  t.is(output.lines.length, 1);
});
