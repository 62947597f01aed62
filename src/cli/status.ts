/** `weft status`: how the daemon is, where it sits, what it carries. */
import type { RegistryStatus } from "../lease/registry.js";
import type { HealthState, Status, Traffic } from "../observe/status.js";
import { question } from "./command.js";
import { bytes, duration, paint, plural, printable, table } from "./format.js";

const COLOURS = {
  ready: "green",
  starting: "yellow",
  degraded: "yellow",
  failed: "red",
} as const satisfies Record<HealthState, string>;

export const status = question<Status>({
  name: "status",
  summary: "how the daemon is, where it sits, what it carries",
  help: "Prints the daemon's state with reasons, its device, underlay, subnet and registry, and the\ntraffic since its start. tx is from the pods to other hosts, rx the reverse.",
  print: printStatus,
});

function printStatus(answer: Status): string {
  const { health, backend, tun, underlay, registry, traffic } = answer;
  const carried = ({ packets, bytes: count, drops, lost }: Traffic) =>
    `${plural(packets, "packet")}, ${bytes(count)}, ${plural(drops, "drop")}` +
    (lost > 0 ? `, ${lost} lost in the kernel's queue` : "");
  const lines: (readonly [name: string, value: string])[] = [
    ...health.reasons.map((reason) => ["because", reason] as const),
    ["backend", backend === null ? "" : backendText(backend)],
    ["device", tun === null ? "" : `${tun.name}, MTU ${tun.mtu}, ${tun.addresses.join(" ")}`],
    [
      "underlay",
      underlay === null ? "" : `${underlay.interface}, MTU ${underlay.mtu}, ${underlay.addresses.join(" ")}`,
    ],
    ["network", answer.networks.join(" ")],
    ["subnet", answer.subnets.join(" ")],
    ["mac", answer.macs.join(" ")],
    ["registry", registryText(registry)],
    [
      "threads",
      [
        plural(answer.workers, "worker"),
        ...(answer.realtime ? ["real-time for bulk"] : []),
        `offloads: ${answer.offloads.join(" ") || "none"}`,
      ].join(", "),
    ],
    ["table", `${plural(answer.peers, "peer")}, ${plural(answer.routes, "route")}`],
    ["tx", carried(traffic.tx)],
    ["rx", carried(traffic.rx)],
  ];
  const head = `weftd ${answer.version} is ${paint(COLOURS[health.state], health.state)}, up ${duration(answer.uptimeSeconds)}, pid ${answer.pid}\n`;
  const body = lines
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `  ${paint("dim", name.padEnd(9))} ${printable(value)}\n`);
  return head + body.join("") + rejectedText(answer);
}

function backendText({ type, port, vni }: NonNullable<Status["backend"]>): string {
  return `${type}, ${vni === null ? "" : `VNI ${vni}, `}port ${port}`;
}

/** A certificate that lasts longer than 30 days is no news. */
const CERTIFICATE_NEWS_S = 30 * 86_400;
const TROUBLE = { etcd: "NOT CONNECTED", file: "NOT READABLE" } as const;

function registryText(registry: RegistryStatus): string {
  const { kind, source, connected, problem, lastContactSeconds, revision } = registry;
  const { leaseTtlSeconds, certificateSeconds } = registry;
  return [
    `${kind} ${source}`,
    connected
      ? kind === "etcd"
        ? "connected"
        : ""
      : `${TROUBLE[kind]}${problem === null ? "" : ` (${problem})`}`,
    `${kind === "etcd" ? "revision" : "load"} ${revision}`,
    lastContactSeconds === null ? "" : `last heard ${duration(lastContactSeconds)} ago`,
    leaseTtlSeconds === null ? "" : `lease ends in ${duration(leaseTtlSeconds)} unless renewed`,
    certificateSeconds === null || certificateSeconds > CERTIFICATE_NEWS_S
      ? ""
      : certificateSeconds > 0
        ? `certificate ends in ${duration(certificateSeconds)}`
        : "certificate has expired",
  ]
    .filter((part) => part !== "")
    .join(", ");
}

function rejectedText({ rejected, rejectedByReason }: Status): string {
  if (rejected.length === 0) return "";
  const total = Object.values(rejectedByReason).reduce((sum, count) => sum + count, 0);
  const rows = table(
    [
      { title: "KEY", text: ({ key }) => key },
      { title: "REASON", text: ({ reason }) => reason },
      { title: "MESSAGE", text: ({ message }) => message },
    ],
    rejected,
  );
  const more = total > rejected.length ? `and ${total - rejected.length} more\n` : "";
  return `\n${plural(total, "lease")} in the registry not used:\n${rows}${more}`;
}
