/** The command line as a user runs it, against a real admin socket; and the admin socket itself. */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { WeftError } from "../../src/config/errors.js";
import type { CaptureRequest, TraceRequest } from "../../src/config/requests.js";
import { type AdminSource, startAdmin } from "../../src/observe/admin.js";
import type { TraceStatus } from "../../src/observe/status.js";
import { COUNTERS, INSPECTOR, PEERS, ROUTES, STATUS, TRACE } from "../support/status.js";
import { temporaryDirectory, tryRun, until } from "../support/process.js";

const ENTRY = fileURLToPath(new URL("../../src/weft.js", import.meta.url));
const DAEMON = fileURLToPath(new URL("../../src/weftd.cjs", import.meta.url));

/** Runs `weft` with an environment that names no settings. */
function weft(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return tryRun(process.execPath, [ENTRY, ...args], { env: { PATH: process.env["PATH"], ...env } });
}

const SUCCESSION: AdminSource["succession"] = {
  offer: () => ({}),
  pause: () => {
    throw new WeftError("there is no successor");
  },
  end: () => undefined,
};

/** A run directory with an admin socket that answers as a daemon would. */
async function daemon(t: ExecutionContext, changes: Partial<AdminSource> = {}): Promise<string> {
  const runDir = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  const source: AdminSource = {
    status: () => STATUS,
    peers: () => PEERS,
    routes: () => ROUTES,
    counters: () => COUNTERS,
    setLogLevel: () => undefined,
    leave: () => Promise.resolve("the lease 10.5.32.0-24 is given back"),
    inspector: INSPECTOR,
    succession: SUCCESSION,
    ...changes,
  };
  const server = await startAdmin(runDir, source);
  t.teardown(() => server.close());
  return runDir;
}

function put(socketPath: string, path: string, body: string): Promise<[status: number, body: string]> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path, method: "PUT", headers: { "content-length": Buffer.byteLength(body) } })
      .on("response", (response) => {
        text(response).then((received) => resolve([response.statusCode ?? 0, received]), reject);
      })
      .on("error", reject)
      .end(body);
  });
}

test("each verb with --json prints the daemon's answer as it is", async (t) => {
  const runDir = await daemon(t);
  for (const [verb, expected] of Object.entries({
    status: STATUS,
    peers: PEERS,
    routes: ROUTES,
    counters: COUNTERS,
  })) {
    const { code, stdout, stderr } = await weft([verb, "--json", "--run-dir", runDir]);
    t.deepEqual([code, stderr], [0, ""], verb);
    t.deepEqual(JSON.parse(stdout), expected, verb);
  }
});

test("weft status tells the whole state in words", async (t) => {
  const runDir = await daemon(t);
  const { code, stdout } = await weft(["status"], { WEFT_RUN_DIR: runDir });
  t.is(code, 0);
  t.is(
    stdout,
    `weftd 1.2.3 is ready, up 2h 5m, pid 4711
  backend   vxlan, VNI 1, port 8472
  device    weft0, MTU 1450, 10.5.32.0/32
  underlay  eth0, MTU 1500, 10.99.0.1
  network   10.5.0.0/16
  subnet    10.5.32.0/24
  mac       b6:c4:b1:af:9e:94
  registry  etcd http://10.0.0.5:2379, connected, revision 17, last heard 2s ago, lease ends in 23h 53m unless renewed
  threads   2 workers, real-time for bulk, offloads: tso gro
  table     2 peers, 3 routes
  tx        1200 packets, 1.5 MiB, 1 drop, 7 lost in the kernel's queue
  rx        900 packets, 512 B, 0 drops
`,
  );
});

test("weft status says what is wrong, and what of the registry is not used", async (t) => {
  const runDir = await daemon(t, {
    status: () => ({
      ...STATUS,
      health: { state: "degraded", reasons: ["etcd does not answer"] },
      registry: { ...STATUS.registry, connected: false, problem: "connection refused" },
      rejected: [{ key: "10.5.9.0-24", reason: "vni", message: "VNI 7\u001b[2J, not 1" }],
      rejectedByReason: { vni: 1, backend: 2 },
    }),
  });
  const { code, stdout } = await weft(["--run-dir", runDir, "status"]);
  t.is(code, 0);
  t.regex(stdout, /is degraded, .*\n {2}because {3}etcd does not answer\n/);
  t.regex(stdout, /NOT CONNECTED \(connection refused\)/);
  t.regex(
    stdout,
    /3 leases in the registry not used:\nKEY +REASON +MESSAGE\n10\.5\.9\.0-24 +vni +VNI 7�\[2J, not 1\nand 2 more\n$/,
  );
});

test("weft peers and routes print aligned columns", async (t) => {
  const runDir = await daemon(t);
  const peers = await weft(["peers", `--run-dir=${runDir}`]);
  t.is(
    peers.stdout,
    `NODE          ENDPOINT   MAC                SUBNETS      TX PACKETS       TX  RX PACKETS     RX  ERRORS   MTU      HEARD
10.5.1.0-24   10.99.0.2  66:f0:00:00:00:01  10.5.1.0/24        1200  1.5 MiB         900  512 B       3  1400  1m 5s ago
odd "name"\\�  fd99::3    -                  10.5.2.0/24           0      0 B           0    0 B       0     -      never
`,
  );
  const routes = await weft(["routes", "--run-dir", runDir]);
  t.is(
    routes.stdout,
    `PREFIX        KIND   VIA        NODE
10.5.1.0/24   peer   10.99.0.2  10.5.1.0-24
10.5.32.0/24  local  -          -
`,
  );
  const alone = await daemon(t, { peers: () => [] });
  t.regex((await weft(["peers", "--run-dir", alone])).stdout, /^no peers: /);
});

test("weft counters hides zeros unless asked", async (t) => {
  const runDir = await daemon(t);
  const { stdout } = await weft(["counters", "--run-dir", runDir]);
  t.regex(stdout, /^tx {3}drop {7}no_route {7}1 {2}no lease covers the destination$/m);
  t.notRegex(stdout, /hop limit/);
  const all = await weft(["counters", "--all", "--run-dir", runDir]);
  t.regex(all.stdout, /^tx {3}drop {7}ttl {12}0 {2}TTL or hop limit used up$/m);
});

test("weft log-level changes the running daemon's level", async (t) => {
  const levels: string[] = [];
  const runDir = await daemon(t, { setLogLevel: (level) => levels.push(level) });
  t.is((await weft(["log-level", "debug", "--run-dir", runDir])).code, 0);
  t.deepEqual(levels, ["debug"]);
  for (const args of [[], ["loud"], ["info", "debug"]]) {
    const { code, stderr } = await weft(["log-level", ...args, "--run-dir", runDir]);
    t.is(code, 2);
    t.regex(stderr, /^weft: weft log-level takes one of fatal, /);
  }
  const socket = join(runDir, "weft.sock");
  t.deepEqual(await put(socket, "/log-level", '{ "level": "warn" }'), [200, '{"level":"warn"}\n']);
  for (const body of ["", "null", '{"level":"loud"}', "["])
    t.is((await put(socket, "/log-level", body))[0], 400, body);
  t.is((await put(socket, "/log-level", "x".repeat(5000)))[0], 413);
  t.deepEqual(levels, ["debug", "warn"]);
});

test("weft leave says what became of the lease, or why nothing did", async (t) => {
  const { code, stdout } = await weft(["leave", "--run-dir", await daemon(t)]);
  t.is(code, 0);
  t.is(stdout, "the lease 10.5.32.0-24 is given back; weftd stops\n");
  const unable = await daemon(t, {
    leave: () => Promise.reject(new WeftError("the lease cannot be given back, weftd goes on: etcd is gone")),
  });
  const refused = await weft(["leave", "--run-dir", unable]);
  t.is(refused.code, 1);
  t.is(refused.stderr, "weft: weftd refused: the lease cannot be given back, weftd goes on: etcd is gone\n");
});

test("weft trace prints the way of a packet; the exit code tells its fate", async (t) => {
  const asked: TraceRequest[] = [];
  const trace = (answer: TraceStatus) => (request: TraceRequest) => {
    asked.push(request);
    return answer;
  };
  const dropped = await daemon(t, { inspector: { ...INSPECTOR, trace: trace(TRACE) } });
  const { code, stdout } = await weft(["trace", "10.5.32.2", "10.5.77.1", "--run-dir", dropped]);
  t.is(code, 1);
  t.is(
    stdout,
    `dropped: a packet of 28 bytes that leaves this host
  source   10.5.32.2: in this host's subnet 10.5.32.0/24
  dropped  no_route – no lease covers the destination
`,
  );
  const inspector = { ...INSPECTOR, trace: trace({ ...TRACE, verdict: "forwarded" }) };
  const forwarded = await daemon(t, { inspector });
  const words = ["trace", "10.5.32.2", "10.5.77.1", "udp", "53", "--size", "99", "--json"];
  const json = await weft([...words, "--run-dir", forwarded]);
  t.is(json.code, 0);
  t.deepEqual(JSON.parse(json.stdout), { ...TRACE, verdict: "forwarded" });
  t.like(asked, [
    { protocol: 1, port: 0, size: null },
    { protocol: 17, port: 53, size: 99 },
  ]);
  const wrong = await weft(["trace", "10.5.32.2", "there", "--run-dir", forwarded]);
  t.deepEqual([wrong.code, wrong.stdout], [2, ""]);
  t.is(wrong.stderr, 'weft: dst: "there" is not an IPv4 or IPv6 address\n');
});

test("weft capture saves what the daemon sends, and says how much that was", async (t) => {
  const asked: CaptureRequest[] = [];
  const bytes = Buffer.from("as it came");
  let closed = 0;
  const runDir = await daemon(t, {
    inspector: {
      ...INSPECTOR,
      capture: (request) => {
        asked.push(request);
        return {
          chunks: Readable.from([bytes.subarray(0, 5), bytes.subarray(5)]),
          trailers: () => ({ "weft-captured": "1", "weft-lost": "23" }),
          close: () => closed++,
        };
      },
    },
  });
  const piped = await weft(["capture", "--run-dir", runDir, "--direction", "rx", "--packets=7"]);
  t.deepEqual([piped.code, piped.stdout], [0, "as it came"]);
  t.is(piped.stderr, "capturing; Ctrl-C ends it\n1 packet captured, 23 lost\n");
  t.like(asked, [{ direction: "rx", packets: 7 }]);
  const file = join(runDir, "file");
  const { code, stdout } = await weft(["capture", "--run-dir", runDir, "--write", file]);
  t.deepEqual([code, stdout, readFileSync(file, "utf8")], [0, "", "as it came"]);
  await until("the second capture's end", () => (closed === 2 ? true : null));

  const wrong = await weft(["capture", "--run-dir", runDir, "--reason", "no_rout"]);
  t.is(wrong.code, 2);
  t.is(wrong.stderr, 'weft: --reason: there is no drop reason "no_rout" — did you mean no_route?\n');
  const nowhere = await weft(["capture", "--run-dir", runDir, "--write", join(runDir, "no", "file")]);
  t.is(nowhere.code, 1);
  t.regex(nowhere.stderr, /^capturing.*\nweft: cannot write the capture: ENOENT: /);
});

test("weft capture does not write to a terminal, and passes on why it may not begin", async (t) => {
  const capture = (): never => {
    throw new WeftError("a capture is running already");
  };
  const runDir = await daemon(t, { inspector: { ...INSPECTOR, capture } });
  const refused = await weft(["capture", "--run-dir", runDir]);
  t.deepEqual([refused.code, refused.stdout], [1, ""]);
  t.is(refused.stderr, "weft: weftd refused: a capture is running already\n");
  const command = `'${process.execPath}' '${ENTRY}' capture --run-dir '${runDir}'`;
  const terminal = await tryRun("script", ["--quiet", "--return", "--command", command, "/dev/null"]);
  t.is(terminal.code, 2);
  t.regex(
    terminal.stdout,
    /^weft: a capture is no text for a terminal: name a file with --write, or pipe it/,
  );
});

test("the admin socket is its owner's, replaces a stale file and goes with the daemon", async (t) => {
  const runDir = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  const socket = join(runDir, "weft.sock");
  writeFileSync(socket, "left behind");
  const umask = process.umask(0o022);
  const source = {
    status: () => STATUS,
    peers: () => [],
    routes: () => [],
    counters: () => [],
    setLogLevel: () => undefined,
    leave: () => Promise.resolve(""),
    inspector: INSPECTOR,
    succession: SUCCESSION,
  };
  const server = await startAdmin(runDir, source);
  t.is(statSync(socket).mode & 0o777, 0o600);
  t.is(process.umask(umask), 0o022, "the process's own mask is as before");
  await server.close();
  t.false(existsSync(socket));
  await t.throwsAsync(startAdmin(join(runDir, "missing"), source), {
    message: /^cannot create the admin socket .*missing\/weft\.sock/,
  });
});

test("without a daemon the exit code is 3 and the message says what to do", async (t) => {
  const runDir = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  const expected = `weft: weftd is not running: nothing answers on ${runDir}/weft.sock; start it with `;
  const missing = await weft(["status", "--run-dir", runDir]);
  t.is(missing.code, 3);
  t.true(missing.stderr.startsWith(expected), missing.stderr);
  t.is(missing.stdout, "");
});

test("something else on the socket is a failure, not an absent daemon", async (t) => {
  const runDir = await temporaryDirectory((cleanup) => t.teardown(cleanup));
  const server = createServer((connection) => connection.end("SSH-2.0-hello\r\n"));
  await new Promise<void>((resolve) => server.listen(join(runDir, "weft.sock"), resolve));
  t.teardown(() => server.close());
  const { code, stderr } = await weft(["status", "--run-dir", runDir]);
  t.is(code, 1);
  t.regex(stderr, /^weft: cannot talk to weftd on /);
});

test("wrong use is explained with exit code 2", async (t) => {
  const cases: [args: readonly string[], message: RegExp][] = [
    [["statsu"], /^weft: there is no verb "statsu" — did you mean weft status\?\n$/],
    [["frobnicate"], /^weft: there is no verb "frobnicate"; there are status, peers, /],
    [["peers", "--jsno"], /^weft: Unknown option '--jsno' \(see weft peers --help\)\n$/],
    [["peers", "extra"], /^weft: Unexpected argument 'extra'/],
    [
      ["trace", "10.5.1.2"],
      /^weft: weft trace takes <src> <dst> \[proto \[port\]\] \(see weft trace --help\)\n$/,
    ],
    [["trace", "1", "2", "3", "4", "5"], /^weft: weft trace takes /],
    [["capture", "extra"], /^weft: Unexpected argument 'extra'/],
    [["up"], /^weft: weft up needs a file of peers: weft up --file peers\.yaml\n$/],
    [["up", "--file", "p.yaml", "--ofload=x"], /^weft: unknown flag --ofload — did you mean --offload\?\n$/],
    [[], /Usage: weft <verb>/],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await weft(args);
    t.deepEqual([code, stdout], [2, ""], args.join(" "));
    t.regex(stderr, message);
  }
});

test("help and version are printed for both programs and every verb", async (t) => {
  const overview = await weft(["--help"]);
  t.is(overview.code, 0);
  for (const verb of ["status", "peers", "routes", "counters", "capture", "trace", "log-level", "up"]) {
    t.regex(overview.stdout, new RegExp(`^  ${verb} `, "m"));
    const { code, stdout } = await weft([verb, "--help"]);
    t.is(code, 0);
    t.true(stdout.startsWith(`weft ${verb} - `), verb);
  }
  t.regex((await weft(["--version"])).stdout, /^weft \d+\.\d+\.\d+\n$/);
  const help = await tryRun(process.execPath, [DAEMON, "--help"]);
  t.deepEqual([help.code, help.stderr], [0, ""]);
  t.regex(help.stdout, /^weftd - the daemon/);
  const version = await tryRun(process.execPath, [DAEMON, "-version"]);
  t.regex(version.stdout, /^weftd \d+\.\d+\.\d+\n$/);
  const wrong = await tryRun(process.execPath, [DAEMON, "--healthz-port=x"]);
  t.deepEqual([wrong.code, wrong.stdout], [2, ""]);
  t.is(wrong.stderr, 'weftd: --healthz-port: "x" is not a whole number between 0 and 65535\n');
});
