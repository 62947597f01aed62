/**
 * From the sources to one validated `Options`: defaults, YAML file, `FLANNELD_…`, `WEFT_…`, command line — the later
 * wins, setting by setting. Texts are read by the types of the table of flags, then what only makes sense together is
 * checked. Pure but for reading the YAML file.
 */
import { ConfigError } from "./errors.js";
import { FLAG_NAMES, type FlagName, flagOf, type Values } from "./flags.js";
import type { EtcdOptions, Options, PeerAlias } from "./options.js";
import { readArguments, readConfigFile, readEnvironment, type Setting } from "./sources.js";

/** What a command line asks for. */
export type Request =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | { readonly kind: "run"; readonly options: Options };

/** Reads weftd's command line (without node and script) and environment. Throws a ConfigError. */
export function parseOptions(argv: readonly string[], env: NodeJS.ProcessEnv): Request {
  const fromArguments = readArguments(argv);
  for (const kind of ["help", "version"] as const) {
    if (fromArguments.some(({ name }) => name === kind)) return { kind };
  }
  const flannel = readEnvironment(env, "FLANNELD_");
  const own = readEnvironment(env, "WEFT_");
  const outsideFile = [...flannel.settings, ...own.settings, ...fromArguments];
  const config = outsideFile.findLast(({ name }) => name === "config");
  const configPath = config === undefined ? null : (valueOf("config", config) as Values["config"]);
  const fromFile = configPath === null ? [] : readConfigFile(configPath);

  const given = new Map([...fromFile, ...outsideFile].map((setting) => [setting.name, setting]));
  const values = Object.fromEntries(
    FLAG_NAMES.map((name) => [name, valueOf(name, given.get(name))]),
  ) as unknown as Values;
  const warnings = [...flannel.warnings, ...own.warnings];
  for (const { name, origin } of given.values()) {
    const flag = flagOf(name);
    if (flag.unbuilt !== undefined) warnings.push(`${origin}: ${flag.unbuilt}`);
    if (values.registry.file !== null && (name.startsWith("etcd-") || name === "withdrawal-hold")) {
      warnings.push(`${origin} has no effect: the registry is a file`);
    }
  }
  return { kind: "run", options: toOptions(values, given, warnings) };
}

/** The value of one setting, given or default. Throws a ConfigError that names the place and what is expected. */
function valueOf(name: FlagName, setting: Setting | undefined): unknown {
  const flag = flagOf(name);
  if (setting !== undefined && flag.refused !== undefined) {
    throw new ConfigError(`${setting.origin} is not supported: ${flag.refused}`);
  }
  const { origin, texts } = setting ?? { origin: "default", texts: [flag.default ?? ""] };
  // flannel's default of a setting without a default is the empty string, and scripts pass it on.
  const filled = flag.default === null ? texts.filter((text) => text !== "") : texts;
  const values = filled.map((text) => {
    const value = flag.type.parse(text);
    if (value === null) throw new ConfigError(`${origin}: "${text}" is not ${flag.type.expects}`);
    return value;
  });
  return flag.repeatable ? values : (values[0] ?? null);
}

function toOptions(
  values: Values,
  given: ReadonlyMap<FlagName, Setting>,
  warnings: readonly string[],
): Options {
  return {
    registry:
      values.registry.file === null ? etcdOptions(values) : { kind: "file", path: values.registry.file },
    iface: values.iface,
    ifaceRegex: values["iface-regex"],
    ifaceCanReach: values["iface-can-reach"],
    publicIp: values["public-ip"],
    publicIpv6: values["public-ipv6"],
    peerAliases: checkAliases(values["peer-alias"].flat()),
    acceptExternal: values["accept-external"],
    acceptBridged: values["accept-bridged"],
    lenientVxlan: values["lenient-vxlan"],
    subnetFile: values["subnet-file"],
    ipMasq: values["ip-masq"],
    leaseRenewMarginMinutes: values["subnet-lease-renew-margin"],
    healthzIp: values["healthz-ip"],
    healthzPort: values["healthz-port"],
    runDir: values["run-dir"],
    stateDir: given.has("run-dir") && !given.has("state-dir") ? values["run-dir"] : values["state-dir"],
    tun: values.tun,
    nodeId: values["node-id"],
    reclaim: values.reclaim,
    replace: values.replace,
    offloads: values.offload,
    workers: values.workers.count,
    realtime: values.realtime,
    logLevel: values["log-level"] ?? (values.v > 0 ? "debug" : "info"),
    warnings,
  };
}

function checkAliases(aliases: readonly PeerAlias[]): readonly PeerAlias[] {
  for (const [index, { address, publicAddress }] of aliases.entries()) {
    if (address.text === publicAddress.text) {
      throw new ConfigError(
        `--peer-alias: ${address.text} stands for itself; name the peer's public address after =`,
      );
    }
    const earlier = aliases.slice(0, index).find((alias) => alias.address.text === address.text);
    if (earlier !== undefined) {
      throw new ConfigError(
        `--peer-alias: ${address.text} is given twice, for ${earlier.publicAddress.text} and ${publicAddress.text}`,
      );
    }
  }
  return aliases;
}

function etcdOptions(values: Values): EtcdOptions {
  const options: EtcdOptions = {
    kind: "etcd",
    endpoints: values["etcd-endpoints"],
    prefix: values["etcd-prefix"],
    keyFile: values["etcd-keyfile"],
    certFile: values["etcd-certfile"],
    caFile: values["etcd-cafile"],
    username: values["etcd-username"],
    password: values["etcd-password"],
    withdrawalHoldMs: values["withdrawal-hold"],
  };
  if ((options.keyFile === null) !== (options.certFile === null)) {
    throw new ConfigError("--etcd-certfile and --etcd-keyfile belong together: give both or neither");
  }
  if ((options.username === null) !== (options.password === null)) {
    throw new ConfigError("--etcd-username and --etcd-password belong together: give both or neither");
  }
  const tls = options.caFile !== null || options.certFile !== null;
  if (tls && options.endpoints.every((endpoint) => /^http:/i.test(endpoint))) {
    throw new ConfigError(
      `TLS files are given, but every etcd endpoint is plain http (${options.endpoints.join(",")}): ` +
        "write https:// in --etcd-endpoints, or leave the TLS files out",
    );
  }
  return options;
}
