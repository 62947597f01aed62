/**
 * Every setting of weftd, once: name, type, default, help sentence, group. The command line, the environment, the
 * YAML file, `--help` and the type of the parsed values all come from this table.
 *
 * The environment name of a setting follows from its name (`environmentNames`); its key in the YAML file is its name.
 * Names and defaults up to `v` are flannel's.
 */
import { isUnicast } from "../net/ip.js";
import {
  OFFLOADS,
  address,
  boolean,
  deviceName,
  duration,
  endpoints,
  integer,
  keyPrefix,
  logLevel,
  offloads,
  workers,
  path,
  peerAliases,
  regex,
  registry,
  runDirectory,
  text,
  type Type,
} from "./flag-types.js";
import { LOG_LEVELS } from "./options.js";

export interface Flag<T> {
  readonly group: Group;
  readonly type: Type<T>;
  /** As one would type it; null when the setting is simply absent. */
  readonly default: string | null;
  readonly help: string;
  /** May be given several times; the value is the list. */
  readonly repeatable?: true;
  /** The function is not built yet: the setting is accepted with this warning. */
  readonly unbuilt?: string;
  /** The setting is an error, with this explanation. */
  readonly refused?: string;
}

/** Groups in the order of `--help`, with their headings. */
export const GROUPS = {
  registry: "Where subnets come from",
  underlay: "The underlay: which interface and address other nodes reach this one at",
  admission: "Admission: what is let in from other hosts although it is dropped by default",
  host: "This host",
  observe: "Health and logs",
  general: "General",
  unbuilt: "Accepted with a warning, without effect in this version",
  refused: "Refused",
} as const;
export type Group = keyof typeof GROUPS;

const NO_KUBERNETES = "weft has no Kubernetes mode; it takes subnets from etcd or a file (see --registry)";
const unbuilt = { group: "unbuilt" } as const;
const refused = { group: "refused", default: null, refused: NO_KUBERNETES } as const;

export const FLAGS = {
  registry: {
    group: "registry",
    type: registry,
    default: "etcd",
    help: "Take this node's subnet and its peers from `etcd`, or from a YAML file: file:/path/peers.yaml.",
  },
  "etcd-endpoints": {
    group: "registry",
    type: endpoints,
    default: "http://127.0.0.1:4001,http://127.0.0.1:2379",
    help: "Endpoints of the etcd cluster, separated by commas.",
  },
  "etcd-prefix": {
    group: "registry",
    type: keyPrefix,
    default: "/coreos.com/network",
    help: "Prefix of the keys of this overlay network.",
  },
  "etcd-cafile": {
    group: "registry",
    type: path("FILE"),
    default: null,
    help: "CA that signed etcd's certificate (PEM); enough by itself. Default: the system's CAs.",
  },
  "etcd-certfile": {
    group: "registry",
    type: path("FILE"),
    default: null,
    help: "Client certificate for etcd (PEM); needs --etcd-keyfile.",
  },
  "etcd-keyfile": {
    group: "registry",
    type: path("FILE"),
    default: null,
    help: "Private key of the client certificate (PEM).",
  },
  "etcd-username": {
    group: "registry",
    type: text("NAME", "a user name"),
    default: null,
    help: "User name for etcd; needs --etcd-password.",
  },
  "etcd-password": {
    group: "registry",
    type: text("PASSWORD", "a password"),
    default: null,
    help: "Password for etcd. Better given as WEFT_ETCD_PASSWORD: others can see a command line.",
  },
  "subnet-lease-renew-margin": {
    group: "registry",
    type: integer("MINUTES", 1, 1439),
    default: "60",
    help: "Renew this node's lease at least this many minutes before it ends.",
  },
  "withdrawal-hold": {
    group: "registry",
    type: duration,
    default: "5m",
    help: "When many leases vanish from etcd at once, keep them this long, then look again; 0 = believe it at once.",
  },
  iface: {
    group: "underlay",
    type: text("NAME|IP", "an interface name or address"),
    default: null,
    repeatable: true,
    help: "Interface to use, by name or address; several are tried in order. Default: the default route's.",
  },
  "iface-regex": {
    group: "underlay",
    type: regex,
    default: null,
    repeatable: true,
    help: "The first interface whose name or address matches, tried after --iface.",
  },
  "iface-can-reach": {
    group: "underlay",
    type: address("an IP address", () => true),
    default: null,
    help: "The interface that the route to this address leaves through.",
  },
  "public-ip": {
    group: "underlay",
    type: address("an IPv4 address that a host can have", (ip) => ip.family === 4 && isUnicast(ip)),
    default: null,
    help: "IPv4 address that other nodes send to. Default: the interface's.",
  },
  "public-ipv6": {
    group: "underlay",
    type: address("an IPv6 address that a host can have", (ip) => ip.family === 6 && isUnicast(ip)),
    default: null,
    help: "IPv6 address that other nodes send to. Default: the interface's.",
  },
  "peer-alias": {
    group: "admission",
    type: peerAliases,
    default: null,
    repeatable: true,
    help: "Datagrams from the first address are the peer's with the second as public address: a peer behind NAT, or one that also sends from another address.",
  },
  "accept-external": {
    group: "admission",
    type: boolean,
    default: "false",
    help: "Let a peer forward packets from addresses outside of the overlay, of clients it does not masquerade.",
  },
  "accept-bridged": {
    group: "admission",
    type: boolean,
    default: "false",
    help: "vxlan: let a peer send frames with any source MAC, for one that bridges its VXLAN device.",
  },
  "lenient-vxlan": {
    group: "admission",
    type: boolean,
    default: "false",
    help: "vxlan: ignore the reserved bits of the VXLAN header and its flags except I, as RFC 7348 has it.",
  },
  "subnet-file": {
    group: "host",
    type: path("FILE"),
    default: "/run/flannel/subnet.env",
    help: "Where to write this node's subnet and MTU for the container runtime.",
  },
  tun: { group: "host", type: deviceName, default: "weft0", help: "Name of the TUN device." },
  offload: {
    group: "host",
    type: offloads,
    default: OFFLOADS.join(","),
    help: "Offloads that may be used where the kernel has them, or `none`.",
  },
  workers: {
    group: "host",
    type: workers,
    default: "auto",
    help: "Threads that carry packets: 1, or 2 for one per direction. `auto` takes 2 on machines with 4 or more cores.",
  },
  realtime: {
    group: "host",
    type: boolean,
    default: "true",
    help: "Let workers go before other programs while they carry bulk, for 60 % of a core each at most, where the host allows it.",
  },
  "run-dir": {
    group: "host",
    type: runDirectory,
    default: "/run/weft",
    help: "Directory of the socket that `weft` talks to, and of the lock.",
  },
  "state-dir": {
    group: "host",
    type: path("DIR"),
    default: "/var/lib/weft",
    help: "Directory of what has to survive a reboot. When only --run-dir is given, that directory.",
  },
  "node-id": {
    group: "host",
    type: text("ID", "an id: 1 to 128 letters, digits, or any of . _ : -", /^[\w.:-]{1,128}$/),
    default: null,
    help: "Confirms that a lease found in etcd is this node's. Default: the content of /etc/machine-id.",
  },
  reclaim: {
    group: "host",
    type: boolean,
    default: "false",
    help: "Take over the lease of this host's address although it carries another node's id: for the first start of a host that was set up anew.",
  },
  replace: {
    group: "host",
    type: boolean,
    default: "false",
    help: "Take over from the daemon that runs, without losing a packet; it ends then. `weft restart` does this for a service.",
  },
  "healthz-ip": {
    group: "observe",
    type: address("an IP address", () => true),
    default: "0.0.0.0",
    help: "Address on which /healthz, /readyz and /metrics are served.",
  },
  "healthz-port": {
    group: "observe",
    type: integer("PORT", 0, 65535),
    default: "0",
    help: "Port on which they are served; 0 = not at all.",
  },
  "log-level": {
    group: "observe",
    type: logLevel,
    default: null,
    help: `Least severe level that is logged: ${LOG_LEVELS.join(", ")}. Default: info, or as -v says.`,
  },
  v: {
    group: "observe",
    type: integer("N", 0, 1000),
    default: "0",
    help: "Verbosity as flannel takes it: 0 is info, 1 and more debug. --log-level goes first.",
  },
  config: {
    group: "general",
    type: path("FILE"),
    default: null,
    help: "YAML file of settings: their names without dashes, lists as YAML lists.",
  },
  help: { group: "general", type: boolean, default: "false", help: "Print this text." },
  version: { group: "general", type: boolean, default: "false", help: "Print the version." },
  "ip-masq": {
    ...unbuilt,
    type: boolean,
    default: "false",
    help: "Masquerade traffic that leaves the overlay. FLANNEL_IPMASQ says what was asked for.",
    unbuilt: "weft does not set up masquerading yet; traffic that leaves the overlay keeps its pod address",
  },
  "iptables-resync": {
    ...unbuilt,
    type: integer("SECONDS", 1, 86400),
    default: "5",
    help: "How often to restore firewall rules.",
    unbuilt: "weft does not manage firewall rules yet, so there is nothing to resync",
  },
  "iptables-forward-rules": {
    ...unbuilt,
    type: boolean,
    default: "true",
    help: "Accept forwarded traffic of the overlay in the filter table.",
    unbuilt: "weft does not manage firewall rules yet; accept forwarding of the overlay's networks yourself",
  },
  "ip-blackhole-route": {
    ...unbuilt,
    type: boolean,
    default: "false",
    help: "Add a blackhole route for this node's subnet.",
    unbuilt: "weft does not add a blackhole route for the node's subnet yet",
  },
  "net-config-path": {
    ...refused,
    type: path("FILE"),
    help: "Kubernetes mode's network config.",
    refused: "the network config is read from etcd, or from the head of the peers file (see --registry)",
  },
  "kube-subnet-mgr": { ...refused, type: boolean, help: "Kubernetes mode." },
  "kube-api-url": { ...refused, type: text("URL", "a URL"), help: "Kubernetes mode." },
  "kube-annotation-prefix": { ...refused, type: text("TEXT", "a prefix"), help: "Kubernetes mode." },
  "kubeconfig-file": { ...refused, type: path("FILE"), help: "Kubernetes mode." },
  "set-node-network-unavailable": { ...refused, type: boolean, help: "Kubernetes mode." },
} as const satisfies Readonly<Record<string, Flag<unknown>>>;

export type FlagName = keyof typeof FLAGS;

export const FLAG_NAMES = Object.keys(FLAGS) as readonly FlagName[];

/** The flag of a name; null when there is none. */
export function findFlag(name: string): FlagName | null {
  return FLAG_NAMES.find((known) => known === name) ?? null;
}

/** One row of the table, in the common type. */
export function flagOf(name: FlagName): Flag<unknown> {
  return FLAGS[name];
}

type Value<F> = F extends { type: Type<infer T> }
  ? F extends { repeatable: true }
    ? readonly T[]
    : F extends { default: string }
      ? T
      : T | null
  : never;

/** The value of every setting, given or default. */
export type Values = { readonly [N in FlagName]: Value<(typeof FLAGS)[N]> };

/** Environment variables that set a flag, the weaker first. */
export function environmentNames(name: FlagName): readonly string[] {
  const suffix = name.toUpperCase().replaceAll("-", "_");
  return [`FLANNELD_${suffix}`, `WEFT_${suffix}`];
}
