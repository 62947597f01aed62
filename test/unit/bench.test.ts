/** What the bench makes of its command line and of samples; nothing is measured here. */
import test from "ava";
import { parseArguments, UsageError } from "../../bench/arguments.js";
import type { Model } from "../../bench/bed.js";
import { rules, violations } from "../../bench/guard-rules.js";
import type { Plan } from "../../bench/plan.js";
import { figures, type Results, type Series } from "../../bench/results.js";
import { judge, targets } from "../../bench/targets.js";

function planOf(...args: string[]): Plan {
  const request = parseArguments(args);
  if (request === null) throw new Error("help");
  return request.plan;
}

/** Workload and subjects of every row, by what the beds are. */
function rowsOf({ parts }: Plan): Record<string, Record<string, string[]>> {
  return Object.fromEntries(
    parts.map(({ setting, rows }) => [
      `${setting.model} ${setting.mtu} ${setting.peers}`,
      Object.fromEntries(
        rows.map(({ workload, subjects }) => [workload.name, subjects.map(({ name }) => name)]),
      ),
    ]),
  );
}

test("everything is measured by default, and kept under the day's name", (t) => {
  const rows = rowsOf(planOf());
  t.deepEqual(Object.keys(rows), [
    "wire 1500 1",
    "offload 1500 1",
    "wire 1280 1",
    "wire 9000 1",
    "wire 1500 64",
  ]);
  t.is(rows["wire 1500 1"]?.["tcp-1"]?.length, 9);
  t.deepEqual(rows["wire 1500 1"]?.["churn"], ["weft-udp", "weft-vxlan"]);
  t.is(parseArguments([])?.output, null);
});

test("options say what is measured, and with whom", (t) => {
  const rows = rowsOf(
    planOf("--models=wire", "--workloads=rr,tcp-4", "--subjects=veth,kernel", "--mtu=4000"),
  );
  t.deepEqual(rows, { "wire 4000 1": { "tcp-4": ["veth", "kernel"], rr: ["veth", "kernel"] } });
  const { rounds, seconds, weftd } = planOf(
    "--rounds=2",
    "--seconds=0.1",
    "--weftd=--offload=none",
    "--weftd=--v=1",
  );
  t.deepEqual({ rounds, seconds, weftd }, { rounds: 2, seconds: 0.1, weftd: ["--offload=none", "--v=1"] });
});

test("only weft's routes are changed, whoever is named", (t) => {
  const rows = rowsOf(planOf("--workloads=churn,udp-64-peers", "--subjects=kernel,weft-udp"));
  t.deepEqual(rows, {
    "wire 1500 1": { churn: ["weft-udp"] },
    "wire 1500 64": { "udp-64-peers": ["kernel"] },
  });
});

test("a daemon of one's own takes part in what everyone takes part in", (t) => {
  const rows = rowsOf(planOf("--external=flanneld=./flanneld.sh"));
  t.is(rows["wire 1500 1"]?.["tcp-1"]?.at(-1), "flanneld");
  t.false(rows["wire 1500 1"]?.["tcp-16"]?.includes("flanneld"));
});

test("wrong use is told", (t) => {
  for (const args of [
    ["--speed"],
    ["--subjects=carrier-pigeon"],
    ["--rounds=none"],
    ["--seconds=0"],
    ["--external=nameless"],
  ]) {
    t.throws(() => parseArguments(args), { instanceOf: UsageError }, args.join(" "));
  }
});

/** Results in which weft does `factor` times what each rule of the guard asks for. */
function resultsWith(factor: number): Results {
  const series: Series[] = [];
  const add = (model: Model, workload: string, subject: string, value: string, median: number): void => {
    if (series.some((each) => each.model === model && each.workload === workload && each.subject === subject))
      return;
    const samples = [median / 2, median, median * 3];
    series.push({ model, mtu: 1500, peers: 1, workload, subject, values: { [value]: samples } });
  };
  for (const { model, workload, value, against, least } of rules) {
    const weft = series.find(
      (each) => each.model === model && each.workload === workload && each.subject === "weft-udp",
    );
    const own = weft?.values[value]?.[1] ?? 10 * least * factor;
    add(model, workload, against, value, own / factor / least);
    for (const subject of ["weft-udp", "weft-vxlan"]) add(model, workload, subject, value, own);
  }
  const environment = { kernel: "6.1", cpu: "a processor", cores: 2, load: 0, node: "20", commit: "abc" };
  const rest = { features: {}, offloads: [], weftd: [], rounds: 3, seconds: 1, nanoseconds: {} };
  return { date: "2026-01-01", environment, ...rest, series };
}

test("figures are medians and ranges, in relation to the kernel's of the same bed", (t) => {
  const setting = { model: "wire", mtu: 1500, peers: 1, workload: "tcp-1" } as const;
  const series = [
    { ...setting, subject: "veth", values: { gbps: [3, 1, 9], retransmits: [0, 0, 1] } },
    { ...setting, subject: "kernel", values: { gbps: [2] } },
    { ...setting, mtu: 9000, subject: "veth", values: { gbps: [5, 4] } },
  ];
  t.deepEqual(figures({ series }, "gbps"), [
    { ...setting, subject: "veth", median: 3, min: 1, max: 9, ratio: 1.5 },
    { ...setting, subject: "kernel", median: 2, min: 2, max: 2, ratio: 1 },
    { ...setting, mtu: 9000, subject: "veth", median: 5, min: 4, max: 5, ratio: null },
  ]);
});

test("the guard is content with what keeps every rule, and names every rule that is broken", (t) => {
  t.deepEqual(violations(resultsWith(1.01)), []);
  const broken = violations(resultsWith(0.99));
  t.is(broken.length, 2 * rules.length);
  t.regex(broken[0] ?? "", /^tcp-1, wire: weft-udp reaches 0\.\d\d of kernel, not 0\.\d\d$/);
});

test("the guard is not content with what was not measured", (t) => {
  const results = resultsWith(2);
  const series = results.series.filter(({ subject }) => subject !== "weft-vxlan");
  t.is(violations({ ...results, series }).length, rules.length);
});

test("a target is missed, or reached by its floor or its aim", (t) => {
  const [tcp] = targets;
  const memory = targets.find(({ title }) => title.startsWith("resident"));
  if (tcp === undefined || memory === undefined) return t.fail();
  t.is(tcp.value(resultsWith(2), "weft-udp"), 2 * (rules[0]?.least ?? NaN));
  t.is(tcp.value(resultsWith(2), "routing"), null);
  t.deepEqual(
    [0.84, 0.85, 1].map((value) => judge(tcp, value)),
    ["missed", "floor", "aim"],
  );
  t.deepEqual(
    [91, 90, 70].map((value) => judge(memory, value)),
    ["missed", "floor", "aim"],
  );
});
