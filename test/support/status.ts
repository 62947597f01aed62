/** What a daemon with two peers would answer on its admin socket; parts can be replaced. */
import type { InspectorSource } from "../../src/observe/admin.js";
import type {
  CounterStatus,
  PeerStatus,
  RouteStatus,
  Status,
  TraceStatus,
} from "../../src/observe/status.js";

export const STATUS: Status = {
  version: "1.2.3",
  pid: 4711,
  uptimeSeconds: 7500,
  health: { state: "ready", reasons: [] },
  backend: { type: "vxlan", port: 8472, vni: 1 },
  tun: { name: "weft0", mtu: 1450, addresses: ["10.5.32.0/32"] },
  underlay: { interface: "eth0", mtu: 1500, addresses: ["10.99.0.1"] },
  networks: ["10.5.0.0/16"],
  subnets: ["10.5.32.0/24"],
  macs: ["b6:c4:b1:af:9e:94"],
  registry: {
    kind: "etcd",
    source: "http://10.0.0.5:2379",
    connected: true,
    problem: null,
    failed: false,
    lastContactSeconds: 2,
    revision: 17,
    leaseTtlSeconds: 86000,
    restores: 0,
    certificateSeconds: null,
  },
  workers: 2,
  realtime: true,
  offloads: ["tso", "gro"],
  peers: 2,
  routes: 3,
  rejected: [],
  rejectedByReason: {},
  rejections: {},
  traffic: {
    tx: { packets: 1200, bytes: 1536000, drops: 1, lost: 7 },
    rx: { packets: 900, bytes: 512, drops: 0, lost: 0 },
  },
};

export const PEERS: readonly PeerStatus[] = [
  {
    node: "10.5.1.0-24",
    address: "10.99.0.2",
    mac: "66:f0:00:00:00:01",
    subnets: ["10.5.1.0/24"],
    txPackets: 1200,
    txBytes: 1536000,
    rxPackets: 900,
    rxBytes: 512,
    errors: 3,
    pathMtu: 1400,
    lastReceivedSeconds: 65,
  },
  {
    node: 'odd "name"\\\n',
    address: "fd99::3",
    mac: null,
    subnets: ["10.5.2.0/24"],
    txPackets: 0,
    txBytes: 0,
    rxPackets: 0,
    rxBytes: 0,
    errors: 0,
    pathMtu: null,
    lastReceivedSeconds: null,
  },
];

export const ROUTES: readonly RouteStatus[] = [
  { prefix: "10.5.1.0/24", kind: "peer", via: "10.99.0.2", node: "10.5.1.0-24" },
  { prefix: "10.5.32.0/24", kind: "local", via: null, node: null },
];

export const COUNTERS: readonly CounterStatus[] = [
  { name: "packets", direction: "tx", kind: "in", value: 1201, description: "packets read from the TUN" },
  {
    name: "forwarded",
    direction: "tx",
    kind: "forwarded",
    value: 1200,
    description: "packets sent to peers",
  },
  {
    name: "no_route",
    direction: "tx",
    kind: "drop",
    value: 1,
    description: "no lease covers the destination",
  },
  { name: "ttl", direction: "tx", kind: "drop", value: 0, description: "TTL or hop limit used up" },
];

export const TRACE: TraceStatus = {
  direction: "tx",
  verdict: "dropped",
  reason: "no_route",
  sentence: "no lease covers the destination",
  size: 28,
  steps: [
    { name: "source", outcome: "10.5.32.2: in this host's subnet 10.5.32.0/24" },
    { name: "dropped", outcome: "no_route – no lease covers the destination" },
  ],
  datagrams: [],
  reply: "network unreachable",
};

export const INSPECTOR: InspectorSource = {
  capture: () => {
    throw new Error("no capture here");
  },
  endCapture: () => false,
  trace: () => TRACE,
};
