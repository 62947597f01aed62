/** weftd's settings: flags as Go reads them, environment, YAML file, precedence, and every way to get them wrong. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { ConfigError, EXIT_USAGE } from "../../src/config/errors.js";
import { environmentNames, FLAG_NAMES, flagOf } from "../../src/config/flags.js";
import { helpText } from "../../src/config/help.js";
import type { Options } from "../../src/config/options.js";
import { parseOptions } from "../../src/config/parse-options.js";
import { temporaryDirectory } from "../support/process.js";

function options(argv: readonly string[], env: NodeJS.ProcessEnv = {}): Options {
  const request = parseOptions(argv, env);
  if (request.kind !== "run") throw new Error(`asked for ${request.kind}`);
  return request.options;
}

function etcd(argv: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { registry } = options(argv, env);
  if (registry.kind !== "etcd") throw new Error("not etcd");
  return registry;
}

async function configFile(t: ExecutionContext, text: string): Promise<string> {
  const path = join(await temporaryDirectory((cleanup) => t.teardown(cleanup)), "weftd.yaml");
  writeFileSync(path, text);
  return path;
}

function refusal(t: ExecutionContext, argv: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const error = t.throws(() => parseOptions(argv, env), { instanceOf: ConfigError });
  t.is(error.exitCode, EXIT_USAGE);
  return error.message;
}

test("times are written with a unit, as in Go", (t) => {
  for (const [text, milliseconds] of [
    ["0", 0],
    ["0s", 0],
    ["500ms", 500],
    ["90s", 90_000],
    ["5m", 300_000],
    ["24h", 86_400_000],
  ] as const) {
    t.is(etcd([`--withdrawal-hold=${text}`]).withdrawalHoldMs, milliseconds, text);
  }
  for (const text of ["", "5", "-5s", "1.5m", "5 m", "25h", "m", "1e3s"]) {
    t.regex(refusal(t, [`--withdrawal-hold=${text}`]), /is not a time of at most 24h/, text);
  }
});

test("without any setting, flannel's defaults hold", (t) => {
  const { healthzIp, ...rest } = options([]);
  t.is(healthzIp.text, "0.0.0.0");
  t.deepEqual(rest, {
    registry: {
      kind: "etcd",
      endpoints: ["http://127.0.0.1:4001", "http://127.0.0.1:2379"],
      prefix: "/coreos.com/network",
      keyFile: null,
      certFile: null,
      caFile: null,
      username: null,
      password: null,
      withdrawalHoldMs: 300_000,
    },
    iface: [],
    ifaceRegex: [],
    ifaceCanReach: null,
    publicIp: null,
    publicIpv6: null,
    peerAliases: [],
    acceptExternal: false,
    acceptBridged: false,
    lenientVxlan: false,
    subnetFile: "/run/flannel/subnet.env",
    ipMasq: false,
    leaseRenewMarginMinutes: 60,
    healthzPort: 0,
    runDir: "/run/weft",
    stateDir: "/var/lib/weft",
    tun: "weft0",
    nodeId: null,
    reclaim: false,
    replace: false,
    offloads: ["tso", "uso", "gso", "gro"],
    workers: null,
    realtime: true,
    logLevel: "info",
    warnings: [],
  });
});

test("a flag may have one dash or two, and its value after = or as the next argument", (t) => {
  for (const argv of [["-tun=x0"], ["--tun=x0"], ["-tun", "x0"], ["--tun", "x0"]]) {
    t.is(options(argv).tun, "x0", argv.join(" "));
  }
  t.is(options(["--etcd-prefix=/a=b"]).registry.kind, "etcd");
  t.is(etcd(["--etcd-prefix=/a=b"]).prefix, "/a=b");
});

test("switches are read as Go's flag package reads them", (t) => {
  t.true(options(["--ip-masq"]).ipMasq);
  for (const text of ["1", "t", "T", "true", "TRUE", "True"]) t.true(options([`-ip-masq=${text}`]).ipMasq);
  for (const text of ["0", "f", "F", "false", "FALSE", "False"])
    t.false(options([`-ip-masq=${text}`]).ipMasq);
  t.regex(refusal(t, ["--ip-masq=yes"]), /^--ip-masq: "yes" is not a boolean/);
  t.regex(refusal(t, ["--ip-masq", "true"]), /^unexpected argument "true"/);
});

test("repeatable flags add up, others take the last value", (t) => {
  t.deepEqual(options(["--iface=eth0", "--iface", "10.0.0.1"]).iface, ["eth0", "10.0.0.1"]);
  t.deepEqual(options(["--iface-regex=^eth[0-9]{1,3}$"]).ifaceRegex, ["^eth[0-9]{1,3}$"]);
  t.is(options(["--tun=a", "--tun=b"]).tun, "b");
});

test("every setting has its two variables", (t) => {
  t.deepEqual(environmentNames("etcd-endpoints"), ["FLANNELD_ETCD_ENDPOINTS", "WEFT_ETCD_ENDPOINTS"]);
  t.is(options([], { FLANNELD_IP_MASQ: "true" }).ipMasq, true);
  t.deepEqual(options([], { WEFT_IFACE: "eth1" }).iface, ["eth1"]);
  t.is(options([], { WEFT_TUN: "" }).tun, "weft0", "an empty variable counts as not set");
});

test("the command line wins over WEFT_, that over FLANNELD_, that over the file", async (t) => {
  const config = await configFile(t, "tun: file\nhealthz-port: 1\nv: 2\n");
  const argv = [`--config=${config}`];
  t.is(options(argv).tun, "file");
  t.is(options(argv, { FLANNELD_TUN: "flannel" }).tun, "flannel");
  t.is(options(argv, { FLANNELD_TUN: "flannel", WEFT_TUN: "weft" }).tun, "weft");
  const all = options([...argv, "--tun=argv"], { WEFT_TUN: "weft", FLANNELD_TUN: "flannel" });
  t.is(all.tun, "argv");
  t.is(all.healthzPort, 1, "other settings of the file stay");
  t.is(options([], { WEFT_CONFIG: config }).tun, "file");
});

test("the file takes lists, and texts as they are written", async (t) => {
  const config = await configFile(
    t,
    [
      "# all of it",
      "etcd-endpoints: [http://10.0.0.1:2379, https://10.0.0.2:2379]",
      "iface:",
      "  - eth0",
      "  - eth1",
      "tun: 007",
      "ip-masq: true",
      'node-id: "12"',
      "offload: [gso, tso]",
      "",
    ].join("\n"),
  );
  const parsed = options(["--config", config]);
  t.deepEqual(etcd(["--config", config]).endpoints, ["http://10.0.0.1:2379", "https://10.0.0.2:2379"]);
  t.deepEqual(parsed.iface, ["eth0", "eth1"]);
  t.is(parsed.tun, "007");
  t.is(parsed.nodeId, "12");
  t.deepEqual(parsed.offloads, ["tso", "gso"]);
  t.deepEqual(options([`--config=${await configFile(t, "# nothing\n")}`]), options([]));
});

test("admission is strict unless told otherwise, in each of the sources", async (t) => {
  const pairs = ({ peerAliases }: Options): string[] =>
    peerAliases.map(({ address, publicAddress }) => `${address.text} ${publicAddress.text}`);
  const two = ["198.51.100.7 192.0.2.2", "2001:db8::7 2001:db8::2"];
  const argv = ["--peer-alias=198.51.100.7=192.0.2.2", "--peer-alias", "2001:DB8::7=2001:db8::2"];
  t.deepEqual(pairs(options(argv)), two);
  t.deepEqual(
    pairs(options([], { WEFT_PEER_ALIAS: "198.51.100.7=192.0.2.2, 2001:db8::7=2001:db8::2" })),
    two,
  );
  const config = await configFile(
    t,
    [
      "peer-alias:",
      "  - 198.51.100.7=192.0.2.2",
      "  - 2001:db8::7=2001:db8::2",
      "accept-external: true",
      "lenient-vxlan: true",
      "",
    ].join("\n"),
  );
  const fromFile = options(["--config", config, "--lenient-vxlan=false"]);
  t.deepEqual(pairs(fromFile), two);
  t.deepEqual([fromFile.acceptExternal, fromFile.acceptBridged, fromFile.lenientVxlan], [true, false, false]);
  t.true(options([], { WEFT_ACCEPT_BRIDGED: "1" }).acceptBridged);
});

test("a wrong line of the file is named by file and line", async (t) => {
  const cases: [text: string, line: number, message: RegExp][] = [
    ["tun: a\nhealthz-port: many\n", 2, /healthz-port: "many" is not a whole number between 0 and 65535$/],
    ["tun: a\n\ntunn: b\n", 3, /unknown setting "tunn" — did you mean tun\?$/],
    ["config: x\n", 1, /unknown setting "config"/],
    ["tun: a\ntun: b\n", 2, /unique/],
    ["tun: [a, b]\n", 1, /tun needs a value$/],
    ["iface: {a: b}\n", 1, /iface needs a value or a list of values$/],
    ["v: 1\ntun:\n", 2, /tun needs a value$/],
    ["- tun\n", 1, /expected lines of the form/],
    ['v: 1\ntun: "a\n', 3, /quote/],
    ["kube-subnet-mgr: true\n", 1, /kube-subnet-mgr is not supported/],
  ];
  for (const [text, line, message] of cases) {
    const path = await configFile(t, text);
    const said = refusal(t, ["--config", path]);
    t.true(said.startsWith(`${path}:${line}: `), said);
    t.regex(said, message);
  }
  t.regex(
    refusal(t, ["--config=/nonexistent/weftd.yaml"]),
    /cannot read the config file \/nonexistent.*ENOENT/,
  );
});

test("wrong values are refused with what is expected", (t) => {
  const cases: [argument: string, message: RegExp][] = [
    ["--etcd-endpoints=10.0.0.1:2379", /is not a comma-separated list of http:\/\/host:port/],
    ["--etcd-endpoints=http://a:1,", /is not a comma-separated list/],
    ["--etcd-endpoints=http://a:70000", /is not a comma-separated list/],
    ["--etcd-prefix=/", /is not a key prefix/],
    ["--public-ip=fd00::1", /is not an IPv4 address that a host can have/],
    ["--public-ip=127.0.0.1", /is not an IPv4 address that a host can have/],
    ["--public-ipv6=10.0.0.1", /is not an IPv6 address/],
    ["--iface-can-reach=010.0.0.1", /is not an IP address/],
    ["--iface-regex=(", /is not a regular expression/],
    ["--subnet-lease-renew-margin=0", /between 1 and 1439/],
    ["--subnet-lease-renew-margin=1440", /between 1 and 1439/],
    ["--healthz-port=65536", /between 0 and 65535/],
    ["--healthz-port=-1", /between 0 and 65535/],
    ["--healthz-port=1e3", /between 0 and 65535/],
    ["--tun=a-name-too-long-", /is not an interface name/],
    ["--tun=a/b", /is not an interface name/],
    ["--tun=..", /is not an interface name/],
    ["--tun=weft%d", /is not an interface name/],
    ["--tun=", /"" is not an interface name/],
    ["--offload=tso,lro", /is not a comma-separated list of tso, uso, gso, gro, or none/],
    ["--offload=tso,none", /is not a comma-separated list/],
    ["--log-level=loud", /is not one of fatal, error/],
    ["--registry=consul", /is not `etcd` or file:/],
    ["--registry=file:", /is not `etcd` or file:/],
    ["--node-id=a b", /is not an id/],
    ["--peer-alias=192.0.2.2", /is not <address>=<public address of its peer>, such as/],
    ["--peer-alias=192.0.2.2=", /is not <address>=/],
    ["--peer-alias=192.0.2.2=192.0.2.3=192.0.2.4", /is not <address>=/],
    ["--peer-alias=192.0.2.2=192.0.2.3,", /is not <address>=/],
    ["--peer-alias=host=192.0.2.3", /is not <address>=/],
    ["--peer-alias=127.0.0.1=192.0.2.3", /is not <address>=/],
    ["--peer-alias=192.0.2.2=224.0.0.1", /is not <address>=/],
    ["--accept-external=maybe", /is not a boolean/],
    [`--run-dir=/${"x".repeat(97)}`, /is not a path of at most 97 bytes/],
  ];
  for (const [argument, message] of cases) {
    const said = refusal(t, [argument]);
    t.true(said.startsWith(`${argument.replace(/=.*/s, "")}: "`), said);
    t.regex(said, message);
  }
  t.regex(refusal(t, [], { FLANNELD_HEALTHZ_PORT: "x" }), /^FLANNELD_HEALTHZ_PORT: "x" is not/);
});

test("unknown flags, arguments and missing values are refused", (t) => {
  t.regex(
    refusal(t, ["-etcd-endpoint=http://a:1"]),
    /^unknown flag --etcd-endpoint — did you mean --etcd-endpoints\?$/,
  );
  t.regex(refusal(t, ["--quite-something"]), /^unknown flag --quite-something \(see --help\)$/);
  t.regex(refusal(t, ["--tun"]), /^--tun needs a value: --tun=NAME$/);
  for (const argument of ["up", "--", "-", "--=x", "---tun=x"]) {
    t.regex(refusal(t, [argument]), /^unexpected argument/, argument);
  }
});

test("what belongs together is checked together", (t) => {
  const https = "--etcd-endpoints=https://a:2379,http://b:2379";
  t.is(etcd([https, "--etcd-cafile=/ca"]).caFile, "/ca", "a CA alone is enough");
  t.regex(refusal(t, ["--etcd-cafile=/ca"]), /TLS files are given, but every etcd endpoint is plain http/);
  t.regex(refusal(t, [https, "--etcd-certfile=/c"]), /--etcd-certfile and --etcd-keyfile belong together/);
  t.regex(refusal(t, [https, "--etcd-keyfile=/k"]), /--etcd-certfile and --etcd-keyfile belong together/);
  t.regex(refusal(t, ["--etcd-password=x"]), /--etcd-username and --etcd-password belong together/);
  t.regex(refusal(t, ["--peer-alias=192.0.2.2=192.0.2.2"]), /--peer-alias: 192\.0\.2\.2 stands for itself/);
  t.regex(
    refusal(t, ["--peer-alias=192.0.2.7=192.0.2.2", "--peer-alias=192.0.2.7=192.0.2.3"]),
    /^--peer-alias: 192\.0\.2\.7 is given twice, for 192\.0\.2\.2 and 192\.0\.2\.3$/,
  );
  t.is(etcd(["--etcd-cafile=", "--public-ip="]).caFile, null, "an empty optional setting counts as absent");
});

test("only --run-dir moves the state along", (t) => {
  t.is(options(["--run-dir=/tmp/a"]).stateDir, "/tmp/a");
  t.is(options(["--run-dir=/tmp/a", "--state-dir=/tmp/b"]).stateDir, "/tmp/b");
  t.is(options(["--state-dir=/tmp/b"]).runDir, "/run/weft");
});

test("the file registry is named by a path", (t) => {
  t.deepEqual(options(["--registry=file:/etc/peers.yaml"]).registry, {
    kind: "file",
    path: "/etc/peers.yaml",
  });
  t.deepEqual(options(["--registry=file:peers.yaml"]).registry, {
    kind: "file",
    path: join(process.cwd(), "peers.yaml"),
  });
});

test("-v stands for a log level unless one is given", (t) => {
  t.is(options(["-v=0"]).logLevel, "info");
  t.is(options(["-v", "4"]).logLevel, "debug");
  t.is(options(["--v=4", "--log-level=warn"]).logLevel, "warn");
});

test("what has no effect is accepted with one warning each", (t) => {
  const argv = ["--ip-masq", "--iptables-resync=9", "--iptables-forward-rules=false", "--ip-blackhole-route"];
  const { warnings } = options(argv);
  t.deepEqual(
    warnings.map((warning) => warning.replace(/:.*/, "")),
    ["--ip-masq", "--iptables-resync", "--iptables-forward-rules", "--ip-blackhole-route"],
  );
  t.deepEqual(options(["--registry=file:/p"], { FLANNELD_ETCD_PREFIX: "/x" }).warnings, [
    "FLANNELD_ETCD_PREFIX has no effect: the registry is a file",
  ]);
  t.deepEqual(options([], { WEFT_TUNN: "x" }).warnings, [
    "WEFT_TUNN is no setting and is ignored — did you mean WEFT_TUN?",
  ]);
});

test("Kubernetes mode is refused", (t) => {
  t.regex(
    refusal(t, ["--kube-subnet-mgr"]),
    /^--kube-subnet-mgr is not supported: weft has no Kubernetes mode/,
  );
  t.regex(
    refusal(t, ["--net-config-path=/etc/kube-flannel/net-conf.json"]),
    /the network config is read from etcd/,
  );
  t.regex(refusal(t, [], { FLANNELD_KUBE_SUBNET_MGR: "true" }), /^FLANNELD_KUBE_SUBNET_MGR is not supported/);
});

test("help and version need nothing else to be right", (t) => {
  for (const flag of ["--help", "-help", "-h"])
    t.deepEqual(parseOptions([flag, "--nonsense"], {}), { kind: "help" });
  t.deepEqual(parseOptions(["--tun=x", "--version"], { WEFT_V: "wrong" }), { kind: "version" });
});

test("the help names every flag with its default, in 80 columns", (t) => {
  const text = helpText();
  for (const name of FLAG_NAMES) {
    t.true(text.includes(`--${name}`), name);
    const { default: value, repeatable } = flagOf(name);
    if (value !== null && value !== "false" && !repeatable) {
      t.true(text.replace(/\s+/g, " ").includes(`Default: ${value}.`), name);
    }
  }
  t.deepEqual(
    text.split("\n").filter((line) => line.length > 80),
    [],
  );
  for (const topic of ["Exit codes", "Examples", "Files", "FLANNELD_ETCD_ENDPOINTS"])
    t.true(text.includes(topic));
});
