/**
 * One daemon in a network of many leases, in a namespace with a real etcd beside it, and a peer that can send as much as
 * it can.
 *
 *     pod ─ cni0 ─ host1: weftd ──┬── host3: etcd
 *                                 └── host2: the first peer, which floods
 */
import { fileURLToPath } from "node:url";
import { formatMac } from "../../src/net/mac.js";
import { udp } from "../../test/support/craft.js";
import { EtcdBed } from "../../test/support/etcd-bed.js";
import { PREFIX } from "../../test/support/etcd-nodes.js";
import type { Pod } from "../../test/support/hosts.js";
import { Pacer, Sink } from "../../test/support/pace.js";
import { type OnCleanup, type Program, until } from "../../test/support/process.js";
import type { Weftd } from "../../test/support/weftd.js";

const PROBE = fileURLToPath(new URL("memory-probe.js", import.meta.url));
/** Where nobody listens: the pod's kernel counts what comes. */
const SINK_PORT = 9;
const FLOOD_DATA = "weft";
const TUNNEL_PORT = 8285;

export interface Memory {
  readonly live: number;
  readonly resident: number;
}

export const FORMATS = ["udp", "vxlan"] as const;
export type Format = (typeof FORMATS)[number];

export class ScaleNetwork {
  private constructor(
    readonly net: EtcdBed,
    readonly format: Format,
    private readonly onCleanup: OnCleanup,
  ) {}

  /** An etcd with so many leases, and no daemon yet. */
  static async start(onCleanup: OnCleanup, leases: number, format: Format = "udp"): Promise<ScaleNetwork> {
    const config = { Network: "10.0.0.0/8", SubnetMax: "10.9.255.0", Backend: { Type: format } };
    const net = await EtcdBed.start(onCleanup, config, { hosts: 2 });
    await net.etcd.putAll(Array.from({ length: leases }, (_, index) => leaseOf(index + 1, 0, format)));
    return new ScaleNetwork(net, format, onCleanup);
  }

  /** Lease number n, of 65 536 possible, as flannel writes it; another `version` is another public address. */
  lease(n: number, version: number): [key: string, value: string] {
    return leaseOf(n, version, this.format);
  }

  /** Starts the daemon; it is ready when it has the whole table. Resolves with it and the milliseconds of the start. */
  async startDaemon(): Promise<{ weftd: Weftd; startMs: number }> {
    const begin = performance.now();
    const weftd = await this.net.launch(this.net.bed.host(1), {
      nodeArgs: ["--expose-gc", `--import=${PROBE}`],
    });
    await weftd.program.line(/"msg":"ready"/);
    return { weftd, startMs: performance.now() - begin };
  }

  /** What the daemon has in memory, without garbage. */
  async memory({ program }: Weftd): Promise<Memory> {
    const known = program.stderr.length;
    program.signal("SIGUSR2");
    const line = await until("the daemon's memory", () => program.stderr[known] ?? null);
    return JSON.parse(line.replace("memory ", "")) as Memory;
  }

  /** In udp format, lets the first peer send as much as it can, until the program is stopped; resolves when that arrives. */
  async flood(weftd: Weftd): Promise<Program> {
    const pod: Pod = await this.net.bed.host(1).addPod(await weftd.podNetwork());
    await Sink.open(pod.ns, SINK_PORT, FLOOD_DATA.length);
    const data = udp(
      { source: "10.64.1.2", destination: pod.address, destinationPort: SINK_PORT },
      FLOOD_DATA,
    );
    const pacer = await Pacer.build(this.onCleanup);
    const { address } = this.net.bed.host(1);
    const to = { address, port: TUNNEL_PORT, data, perSecond: 0, milliseconds: 600_000 };
    const before = await weftd.counter("rx", "forwarded");
    const flood = pacer.start(this.net.bed.host(2).ns, to);
    await until("the flood", async () =>
      (await weftd.counter("rx", "forwarded")) > before + 1000 ? true : null,
    );
    return flood;
  }
}

function leaseOf(n: number, version: number, format: Format): [key: string, value: string] {
  const address = n === 1 ? "192.0.2.2" : `198.${18 + version}.${n >> 8}.${n & 255}`;
  const vtep = { VNI: 1, VtepMAC: formatMac(Uint8Array.of(2, 0, 0, version, n >> 8, n & 255)) };
  const backend = format === "udp" ? {} : { BackendType: format, BackendData: vtep };
  return [
    `${PREFIX}/subnets/10.${64 + (n >> 8)}.${n & 255}.0-24`,
    JSON.stringify({ PublicIP: address, PublicIPv6: null, ...backend }),
  ];
}

/** When the daemon gave its workers other tables, in milliseconds of the wall clock, from the lines of its log. */
export function changesOf(weftd: Weftd, from = 0): number[] {
  return weftd.program.stdout
    .slice(from)
    .filter((line) => line.includes('"msg":"peers changed"'))
    .map((line) => Date.parse((JSON.parse(line) as { readonly time: string }).time));
}
