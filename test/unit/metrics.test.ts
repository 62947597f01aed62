/** The metrics page: Prometheus' text format, escaped, without samples that have no value. */
import test from "ava";
import { metricsText } from "../../src/observe/metrics.js";
import { COUNTERS, PEERS, STATUS } from "../support/status.js";

const page = metricsText(STATUS, COUNTERS, PEERS);
const lines = page.split("\n");

test("every line is a help, a type or a sample of the family before it", (t) => {
  t.is(lines.pop(), "");
  let family = "";
  for (const line of lines) {
    const [, help] = /^# HELP (weft_[a-z_]+) \S.*$/.exec(line) ?? [];
    const [, typed] = /^# TYPE (weft_[a-z_]+) (?:gauge|counter)$/.exec(line) ?? [];
    const [, sample] =
      /^(weft_[a-z_]+)(?:\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? -?\d+(?:\.\d+)?$/.exec(line) ?? [];
    family = help ?? family;
    t.is(help ?? typed ?? sample, family, line);
  }
});

test("counters, drops, health, registry and peers are in it", (t) => {
  for (const line of [
    'weft_info{version="1.2.3",backend="vxlan"} 1',
    'weft_health{state="ready"} 1',
    'weft_health{state="failed"} 0',
    "weft_peers 2",
    "weft_routes 3",
    'weft_packets_total{direction="tx"} 1200',
    'weft_bytes_total{direction="rx"} 512',
    'weft_drops_total{direction="tx",reason="no_route"} 1',
    'weft_drops_total{direction="tx",reason="ttl"} 0',
    'weft_dataplane_total{direction="tx",counter="packets"} 1201',
    'weft_registry_connected{kind="etcd"} 1',
    "weft_registry_revision 17",
    "weft_registry_lease_ttl_seconds 86000",
    'weft_peer_packets_total{peer="10.5.1.0-24",address="10.99.0.2",direction="rx"} 900',
    'weft_peer_errors_total{peer="10.5.1.0-24",address="10.99.0.2"} 3',
    'weft_peer_path_mtu_bytes{peer="10.5.1.0-24",address="10.99.0.2"} 1400',
    'weft_peer_last_received_seconds{peer="10.5.1.0-24",address="10.99.0.2"} 65',
  ]) {
    t.true(lines.includes(line), line);
  }
});

test("label values are escaped", (t) => {
  t.true(page.includes('weft_peer_errors_total{peer="odd \\"name\\"\\\\\\n",address="fd99::3"} 0\n'));
});

test("what has no value is left out", (t) => {
  t.is(lines.filter((line) => line.startsWith("weft_peer_last_received_seconds")).length, 1);
  const registry = { ...STATUS.registry, leaseTtlSeconds: null };
  t.false(metricsText({ ...STATUS, registry }, [], []).includes("weft_registry_lease_ttl_seconds"));
  t.false(page.includes("weft_rejected_leases"));
});

test("C19: rejected leases are counted by reason, now and since the start", (t) => {
  const status = { ...STATUS, rejectedByReason: { vni: 2, backend: 1 }, rejections: { vni: 7 } };
  const text = metricsText(status, [], []);
  t.true(text.includes('weft_rejected_leases{reason="vni"} 2\nweft_rejected_leases{reason="backend"} 1\n'));
  t.true(text.includes('weft_lease_rejected_total{reason="vni"} 7\n'));
});
