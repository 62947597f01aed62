/**
 * The client between weft and etcd: which endpoint it uses, how soon it leaves one that is no use, and how it waits
 * when there is none. Rows C2–C6 and C10 of the fault catalogue.
 *
 *     client ── proxies (dead, mute, slow) ── etcd, one or a cluster of three
 */
import test, { type ExecutionContext } from "ava";
import { EtcdClient, retry } from "../../src/etcd/client.js";
import { singleKey } from "../../src/etcd/messages.js";
import { RangeWatch } from "../../src/etcd/range-watch.js";
import type { EtcdOptions } from "../../src/config/options.js";
import { type Etcd, leaderOf, startCluster, startEtcd } from "../support/etcd.js";
import { recordTime, SLACK_MS, within } from "../support/bounds.js";
import { forever, options } from "../support/etcd-nodes.js";
import { recordFinding } from "../support/findings.js";
import { type LogLines, logLines } from "../support/log-lines.js";
import { type OnCleanup, until } from "../support/process.js";
import { TcpProxy } from "../support/tcp-proxy.js";

/** Every test has a key of its own, so that those that leave etcd itself alone can share one. */
let keys = 0;

const cleanups: Parameters<OnCleanup>[0][] = [];
let etcd: Etcd;
test.before(async () => {
  etcd = await startEtcd((cleanup) => cleanups.push(cleanup));
});
test.after.always(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

interface Opened extends LogLines {
  readonly client: EtcdClient;
  readonly key: string;
  /** Reads the key, and says how long that took. */
  readonly read: () => Promise<number>;
}

function open(t: ExecutionContext, etcdOptions: EtcdOptions): Opened {
  const { log, lines } = logLines();
  const client = new EtcdClient(etcdOptions, log);
  t.teardown(() => client.close());
  const key = `/test/${++keys}`;
  const read = async (): Promise<number> => {
    const start = performance.now();
    await client.call("KV.Range", singleKey(key));
    return performance.now() - start;
  };
  return { client, key, read, lines, log };
}

/** Follows the key until the test ends; resolves with a function that says its value. */
async function follow(t: ExecutionContext, { client, key, log }: Opened): Promise<() => string | null> {
  const watch = new RangeWatch(client, singleKey(key), log);
  const stop = new AbortController();
  const running = watch.run(stop.signal).catch(() => undefined);
  t.teardown(async () => {
    stop.abort();
    await running;
  });
  await watch.until(() => true, forever);
  return () => watch.entries.get(key)?.value ?? null;
}

/** Follows a key over two proxies as endpoints; `inUse` is the one that it goes through. */
async function followByProxies(t: ExecutionContext) {
  const proxies = [
    await TcpProxy.start(t.teardown, etcd.endpoint),
    await TcpProxy.start(t.teardown, etcd.endpoint),
  ];
  const opened = open(t, options(etcd, { endpoints: proxies.map(({ endpoint }) => endpoint) }));
  const value = await follow(t, opened);
  const inUse = proxies.find(({ endpoint }) => endpoint === opened.client.endpoint);
  if (inUse === undefined) throw new Error("neither endpoint is in use");
  return { opened, value, inUse };
}

/** Writes the key as soon as the cluster has a leader again. */
async function written(member: Etcd | undefined, key: string, value: string): Promise<void> {
  const put = (): Promise<true | null> =>
    member?.put(key, value).then(
      () => true,
      () => null,
    ) ?? Promise.reject(new Error("no member"));
  await until("a leader", put, 30_000);
}

const faults = {
  dead: (proxy: TcpProxy) => proxy.cut(),
  mute: (proxy: TcpProxy) => proxy.mute(),
  "half open": (proxy: TcpProxy) => proxy.mute("down"),
  slow: (proxy: TcpProxy) => proxy.delay(3000),
  throttled: (proxy: TcpProxy) => proxy.throttle(10),
};

// Serial: what is measured is the client, not how many tests the machine runs at once.
for (const [name, fault] of Object.entries(faults)) {
  test.serial(`C4: an endpoint that is ${name} from the start is passed over within 2 s`, async (t) => {
    const proxy = await TcpProxy.start(t.teardown, etcd.endpoint);
    fault(proxy);
    const { client, read } = open(t, options(etcd, { endpoints: [proxy.endpoint, etcd.endpoint] }));
    const what = `one of two endpoints is ${name} from the start`;
    recordTime(t, { row: "C4", fault: what, boundMs: 2000 }, await read());
    t.is(client.endpoint, etcd.endpoint);
  });

  test.serial(`C4: an endpoint that becomes ${name} is left within 2 s, by the watch too`, async (t) => {
    const { opened, value, inUse } = await followByProxies(t);
    fault(inUse);
    recordTime(
      t,
      { row: "C4", fault: `the endpoint in use becomes ${name}`, boundMs: 2000 },
      await opened.read(),
    );
    await etcd.put(opened.key, "new");
    await until("the change", () => (value() === "new" ? true : null), 2000 + SLACK_MS);
    t.not(opened.client.endpoint, inUse.endpoint);
  });
}

for (const directions of [[], ["down"]] as const) {
  const name = directions.length === 0 ? "a black hole" : "a half-open connection";
  test(`C3: ${name} under a watch that nobody else uses is noticed within 10 s`, async (t) => {
    const { opened, value, inUse } = await followByProxies(t);
    inUse.mute(...directions);
    await etcd.put(opened.key, "new");
    await within(
      t,
      { row: "C3", fault: `${name} under an idle watch`, boundMs: 10_000 },
      "the change",
      () => {
        return value() === "new";
      },
    );
    t.not(opened.client.endpoint, inUse.endpoint);
  });
}

test("one key is one key, whatever stands behind it in etcd", async (t) => {
  const { client, key } = open(t, options(etcd));
  await etcd.putAll(["", "/behind", "0"].map((suffix) => [`${key}${suffix}`, "value"]));
  const { kvs } = await client.call("KV.Range", singleKey(key));
  t.is(kvs.length, 1);
  const absent = { ...singleKey(`${key}.`), target: "CREATE", create_revision: "0" } as const;
  const { succeeded } = await client.call("KV.Txn", { compare: [absent], success: [], failure: [] });
  t.true(succeeded);
});

test("C6: an etcd that takes seconds for everything is waited for, on every endpoint", async (t) => {
  const [one, two] = [
    await TcpProxy.start(t.teardown, etcd.endpoint),
    await TcpProxy.start(t.teardown, etcd.endpoint),
  ];
  for (const proxy of [one, two]) proxy.delay(1100);
  const { read, client } = open(t, options(etcd, { endpoints: [one.endpoint, two.endpoint] }));
  await retry(read, forever);
  t.true(client.connected);
  t.is(client.problem, null);
  recordFinding({
    row: "C6",
    fault: "every answer takes more than a second, on every endpoint",
    test: t.title,
    bound: "etcd is waited for",
    measured: "answers come, no problem is reported",
  });
});

test("C4, C5: a member that lost its leader is left, and the watch goes on with the next one's", async (t) => {
  const members = await startCluster(t.teardown);
  const leader = await leaderOf(members);
  const others = members.filter((member) => member !== leader);
  const endpoints = [leader, ...others].map(({ endpoint }) => endpoint);
  const opened = open(t, options(leader, { endpoints }));
  const value = await follow(t, opened);
  t.is(opened.client.endpoint, leader.endpoint);

  // Without the other two the first is no leader any more, and cannot know what they agree on.
  await Promise.all(others.map((member) => member.stop()));
  await until(
    "the loss is noticed",
    async () => {
      await opened.read().catch(() => undefined);
      return /no leader/.test(opened.client.problem ?? "") ? true : null;
    },
    30_000,
  );
  // With another quorum that it is not part of, it is of no use.
  leader.signal("SIGSTOP");
  await Promise.all(others.map((member) => member.start()));
  const [second] = others;
  await written(second, opened.key, "new");
  await within(
    t,
    { row: "C5", fault: "the member in use is without a quorum, the others elect a leader", boundMs: 5000 },
    "the change",
    () => value() === "new",
  );
  await until("no problem is left", () => (opened.client.problem === null ? true : null));
  t.not(opened.client.endpoint, leader.endpoint);
});

test("C5: the leader's death is survived within 5 s, with every change delivered", async (t) => {
  const members = await startCluster(t.teardown);
  const leader = await leaderOf(members);
  const [survivor] = members.filter((member) => member !== leader);
  const endpoints = [leader, ...members.filter((member) => member !== leader)].map(
    ({ endpoint }) => endpoint,
  );
  const opened = open(t, options(leader, { endpoints }));
  const value = await follow(t, opened);
  await leader.stop();
  await written(survivor, opened.key, "after");
  await within(
    t,
    { row: "C5", fault: "the leader dies; from the election on", boundMs: 5000 },
    "the change",
    () => {
      return value() === "after";
    },
  );
});

test("C2: an outage costs one line of log for each kind of trouble, and the end of it one", async (t) => {
  const [dead, mute] = [
    await TcpProxy.start(t.teardown, etcd.endpoint),
    await TcpProxy.start(t.teardown, etcd.endpoint),
  ];
  const endpoints = [dead.endpoint, mute.endpoint];
  const { client, read, lines } = open(t, options(etcd, { endpoints }));
  await read();
  dead.cut();
  mute.mute();
  const problems = new Set<string | null>();
  for (let tries = 0; tries < 2; tries++) {
    await t.throwsAsync(read());
    problems.add(client.problem);
  }
  t.is(problems.size, 1, [...problems].join("\n"));
  dead.heal();
  await retry(read, forever);
  t.is(client.problem, null);
  recordFinding({
    row: "C2",
    fault: "every endpoint dead or mute, and back",
    test: t.title,
    bound: "20 lines of log an hour",
    measured: `${lines.length - 1} lines for the whole outage and its end`,
  });
  t.deepEqual(
    lines.map(({ msg, reason }) => [msg, reason ?? null]),
    [
      ["etcd answers", null],
      ["etcd does not answer", "unreachable"],
      ["etcd answers", null],
    ],
  );
});
