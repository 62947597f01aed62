/** `weftd --help`: the table of flags as a text that one can learn weftd from, 80 columns wide. */
import { environmentNames, FLAG_NAMES, type FlagName, flagOf, GROUPS, type Group } from "./flags.js";

const HEAD = `weftd - the daemon of weft, a userspace overlay network

Usage: weftd [flags]                      subnets from etcd, with flannel nodes
       weftd --registry=file:peers.yaml   subnets from a file, without etcd

Run as root (CAP_NET_ADMIN) on every host. weftd takes a pod subnet for its
host, learns the others' subnets, opens a TUN device and carries packets between
hosts in flannel's udp format or in VXLAN format, as the network config says. It
stays in the foreground and logs to standard output. 'weft status' asks it how
it is.
`;

const TAIL = `Sources
  Every flag can also be set in the environment and in --config's YAML file. The
  command line wins over WEFT_…, WEFT_… over FLANNELD_…, and that over the file.
  For example, in this order:
      weftd --etcd-endpoints=http://10.0.0.5:2379      (or with one dash)
      ${environmentNames("etcd-endpoints").toReversed().join("=…   or   ")}=…
      etcd-endpoints: [http://10.0.0.5:2379]           (in the file)
  A switch is turned off with --name=false.

Examples
  weftd --etcd-endpoints=https://10.0.0.5:2379 --etcd-cafile=/etc/weft/ca.pem
  weftd --registry=file:/etc/weft/peers.yaml --iface=eth1
  weftd --config=/etc/weft/weftd.yaml --healthz-port=8401 --log-level=debug

Files
  /run/flannel/subnet.env    this node's subnet and MTU, for container runtimes
  /run/weft/weft.sock        what 'weft' talks to
  /var/lib/weft              what has to survive a reboot

Signals
  SIGTERM, SIGINT            stop; lease and subnet.env are kept for a restart
  SIGHUP                     read the peers file again (etcd is followed anyway)

Exit codes
  0 stopped as asked    1 failed    2 wrong flag, variable or file
`;

/** The whole text. */
export function helpText(): string {
  const groups = (Object.keys(GROUPS) as Group[]).filter((group) => group !== "refused");
  const refused = namesOf("refused").map((name) => `--${name}`);
  return [
    HEAD,
    ...groups.map((group) => `${GROUPS[group]}\n${namesOf(group).map(entry).join("")}`),
    `${GROUPS.refused} (Kubernetes mode)\n${wrap(`${refused.join(", ")}.`, "  ")}`,
    TAIL,
  ].join("\n");
}

function namesOf(group: Group): readonly FlagName[] {
  return FLAG_NAMES.filter((name) => flagOf(name).group === group);
}

function entry(name: FlagName): string {
  const flag = flagOf(name);
  const { metavar } = flag.type;
  const notes = [
    flag.repeatable ? "May be repeated." : "",
    flag.default === null || flag.default === "false" ? "" : `Default: ${flag.default}.`,
  ];
  const head = `  --${name}${metavar === null ? "" : `=${metavar}`}\n`;
  return head + wrap([flag.help, ...notes].filter((part) => part !== "").join(" "), "        ");
}

/** Breaks a text into lines of at most 80 columns, each with the indent and a line end. */
function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && indent.length + line.length + 1 + word.length > 80) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].map((each) => `${indent}${each}\n`).join("");
}
