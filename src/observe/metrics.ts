/**
 * The metrics page, in Prometheus' text format 0.0.4, written directly from the same objects that the admin socket
 * answers with. `tx` is from the TUN to the underlay, `rx` the reverse.
 */
import type { CounterStatus, HealthState, PeerStatus, ReasonCounts, Status } from "./status.js";

type Labels = Readonly<Record<string, string>>;
/** A sample whose value is null is left out. */
type Sample = readonly [labels: Labels, value: number | null];

const HEALTH_STATES: readonly HealthState[] = ["starting", "ready", "degraded", "failed"];
const DIRECTIONS = ["tx", "rx"] as const;

/** The whole page. */
export function metricsText(
  status: Status,
  counters: readonly CounterStatus[],
  peers: readonly PeerStatus[],
): string {
  const { registry, traffic, health } = status;
  const drops = counters.filter(({ kind }) => kind === "drop");
  const others = counters.filter(({ kind }) => kind !== "drop");
  const perPeer = (value: (peer: PeerStatus) => number | null): Sample[] =>
    peers.map((peer) => [peerLabels(peer), value(peer)]);
  const perPeerAndDirection = (value: (peer: PeerStatus, direction: "tx" | "rx") => number): Sample[] =>
    peers.flatMap((peer) =>
      DIRECTIONS.map((direction): Sample => [{ ...peerLabels(peer), direction }, value(peer, direction)]),
    );

  return [
    gauge("weft_info", "Always 1; version and backend in the labels.", [
      [{ version: status.version, backend: status.backend?.type ?? "" }, 1],
    ]),
    gauge("weft_uptime_seconds", "Seconds since the daemon started.", [[{}, status.uptimeSeconds]]),
    gauge(
      "weft_health",
      "1 for the state that the daemon is in, 0 for the others.",
      HEALTH_STATES.map((state) => [{ state }, state === health.state ? 1 : 0]),
    ),
    gauge("weft_workers", "Worker threads that carry packets.", [[{}, status.workers]]),
    gauge("weft_peers", "Tunnel endpoints in the table.", [[{}, status.peers]]),
    gauge("weft_routes", "Prefixes in the table.", [[{}, status.routes]]),
    gauge(
      "weft_rejected_leases",
      "Leases in the registry that are not used.",
      reasons(status.rejectedByReason),
    ),
    counter(
      "weft_lease_rejected_total",
      "Times that a lease in the registry came to be unusable.",
      reasons(status.rejections),
    ),

    counter(
      "weft_packets_total",
      "Packets carried.",
      DIRECTIONS.map((direction) => [{ direction }, traffic[direction].packets]),
    ),
    counter(
      "weft_bytes_total",
      "Bytes carried.",
      DIRECTIONS.map((direction) => [{ direction }, traffic[direction].bytes]),
    ),
    counter(
      "weft_drops_total",
      "Packets dropped, each under exactly one reason; 'weft counters' explains them.",
      drops.map(({ direction, name, value }) => [{ direction, reason: name }, value]),
    ),
    counter(
      "weft_dataplane_total",
      "The other counters of the dataplane; 'weft counters --all' explains them.",
      others.map(({ direction, name, value }) => [{ direction, counter: name }, value]),
    ),

    gauge("weft_registry_connected", "1 while the registry answers.", [
      [{ kind: registry.kind }, registry.connected ? 1 : 0],
    ]),
    gauge("weft_registry_last_contact_seconds", "Seconds since the registry last answered.", [
      [{}, registry.lastContactSeconds],
    ]),
    gauge("weft_registry_revision", "Revision (etcd) or load (file) up to which changes are known.", [
      [{}, registry.revision],
    ]),
    gauge(
      "weft_registry_certificate_seconds",
      "Seconds until the first certificate for the registry ends, negative afterwards.",
      [[{}, registry.certificateSeconds]],
    ),
    gauge("weft_registry_lease_ttl_seconds", "Seconds that this node's lease lives on without renewal.", [
      [{}, registry.leaseTtlSeconds],
    ]),

    counter("weft_registry_restores_total", "Times that etcd was found to be restored from a backup.", [
      [{}, registry.restores],
    ]),

    counter(
      "weft_peer_packets_total",
      "Packets carried to and from a peer.",
      perPeerAndDirection((peer, direction) => peer[`${direction}Packets`]),
    ),
    counter(
      "weft_peer_bytes_total",
      "Bytes carried to and from a peer.",
      perPeerAndDirection((peer, direction) => peer[`${direction}Bytes`]),
    ),
    counter(
      "weft_peer_errors_total",
      "Send and ICMP errors about a peer.",
      perPeer(({ errors }) => errors),
    ),
    gauge(
      "weft_peer_path_mtu_bytes",
      "Largest datagram that the path to a peer takes, where that was learned.",
      perPeer(({ pathMtu }) => pathMtu),
    ),
    gauge(
      "weft_peer_last_received_seconds",
      "Seconds since the last packet from a peer.",
      perPeer(({ lastReceivedSeconds }) => lastReceivedSeconds),
    ),
  ].join("");
}

function peerLabels(peer: PeerStatus): Labels {
  return { peer: peer.node, address: peer.address };
}

function reasons(counts: ReasonCounts): Sample[] {
  return Object.entries(counts).map(([reason, count]) => [{ reason }, count]);
}

function gauge(name: string, help: string, samples: readonly Sample[]): string {
  return family(name, "gauge", help, samples);
}

function counter(name: string, help: string, samples: readonly Sample[]): string {
  return family(name, "counter", help, samples);
}

/** One family of metrics with its head; nothing when it has no sample. */
function family(name: string, type: "gauge" | "counter", help: string, samples: readonly Sample[]): string {
  const lines = samples
    .filter(([, value]) => value !== null)
    .map(([labels, value]) => `${name}${labelText(labels)} ${value ?? ""}\n`);
  return lines.length === 0 ? "" : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

/** Backslash, quote and line feed are escaped, as the format asks; label values may come from the registry. */
function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    const escaped = value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
    return `${name}="${escaped}"`;
  });
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
