/**
 * What faults are done to: two weft nodes with a pod each, whose daemons are services, a bad wire between them, and
 * accounted traffic between the pods, both ways.
 *
 *     pod1 ─ cni0 ─ host1: manager, weftd ── wire ── br0 ─┬─ host2: manager, weftd ─ cni0 ─ pod2
 *                                                         └─ host3: etcd, if routes come from there
 */
import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Agent } from "../support/agent.js";
import type { Etcd } from "../support/etcd.js";
import { EtcdBed } from "../support/etcd-bed.js";
import { Bed, type Host } from "../support/hosts.js";
import { Ledger, type StreamOptions } from "../support/ledger.js";
import { type Node, Overlay, ports } from "../support/overlay.js";
import { atExit, type OnCleanup, run, temporaryDirectory, until } from "../support/process.js";
import { Service } from "../support/service.js";
import { mustPing } from "../support/traffic.js";
import { Troublemaker } from "../support/troubled.js";
import { Wire } from "../support/wire.js";
import { type Account, readPlaces, settle, type Way } from "./account.js";

export interface BenchOptions {
  readonly format: "udp" | "vxlan";
  readonly registry: "file" | "etcd";
  /** Packets a second each way, unless a fault asks for less. */
  readonly perSecond: number;
  /** How long traffic lasts at least. */
  readonly milliseconds: number;
}

/** From pod 1 to pod 2, and back. */
export type Accounts = readonly [Account, Account];

const LEDGER_PORT = 7000;
/** The address of the switch, and of routers that tests play. */
export const WIRE_END = "192.0.2.254";
/** A host whose daemon is a service of a service manager, and the pod behind it. */
export interface BenchNode extends Node {
  readonly service: Service;
}

/** What each daemon may write. */
const DISK_BYTES = 1 << 20;

/** Longer than a daemon may be held up on a busy machine, and half of what a hung one may take to be replaced. */
const WATCHDOG_SECONDS = 5;

export class Bench {
  #carried = 0;
  #last: Accounts | null = null;

  private constructor(
    readonly bed: Bed,
    readonly wire: Wire,
    readonly nodes: readonly [BenchNode, BenchNode],
    /** Null when routes come from a file. */
    readonly etcd: Etcd | null,
    readonly options: BenchOptions,
    /** Sends from the wire what anybody could. */
    readonly stranger: Agent,
    /** Troubles daemons from inside. */
    readonly troublemaker: Troublemaker,
    private readonly ledger: Ledger,
  ) {}

  static async create(onCleanup: OnCleanup, options: BenchOptions): Promise<Bench> {
    const { format, registry } = options;
    const ledger = await Ledger.build(onCleanup);
    const { bed, etcd, argsOf } =
      registry === "file" ? await fromFile(onCleanup, format) : await fromEtcd(onCleanup, format);
    for (const { ns } of bed.hosts) {
      // Multicast of IPv6 would be dropped, and counted among the losses.
      await ns.sysctl({ "net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1 });
    }
    for (const ns of [bed.wire, ...bed.hosts.map((host) => host.ns)]) {
      // Where bridges have it (-e), they leave IP to the hosts: packets without a firewall's passes come cheaper.
      await ns.run("sysctl", ["-qew", "net.bridge.bridge-nf-call-iptables=0"]);
    }
    const wire = await Wire.cut(bed, bed.host(1), ports[format], onCleanup);
    const troublemaker = await Troublemaker.create(onCleanup);
    const directory = await temporaryDirectory(onCleanup);
    const startNode = async (host: Host): Promise<BenchNode> => {
      const disk = await mountDisk(join(directory, `host${host.index}`), onCleanup);
      const service = await Service.start(host.ns, disk, {
        ...troublemaker.options,
        args: argsOf(host),
        watchdogSeconds: WATCHDOG_SECONDS,
      });
      return {
        host,
        service,
        weftd: service.weftd,
        pod: await host.addPod(await service.weftd.podNetwork()),
      };
    };
    const nodes = await Promise.all([startNode(bed.host(1)), startNode(bed.host(2))]);
    const stranger = await Agent.start(bed.wire);
    const bench = new Bench(bed, wire, nodes, etcd, options, stranger, troublemaker, ledger);
    await bench.calm(0);
    return bench;
  }

  /** Packets that its traffic was made of, until now. */
  get carried(): number {
    return this.#carried;
  }

  /** Of the last traffic, for those who look for a reason; null before the first. */
  get lastAccounts(): Accounts | null {
    return this.#last;
  }

  /** Waits until all is as it was in the beginning, with a wire that does nothing and numbers from zero. */
  async calm(seed: number): Promise<void> {
    const [one, two] = this.nodes;
    await this.wire.reset(seed);
    for (const { weftd } of this.nodes) {
      // A firewall is named by health for half a minute.
      await weftd.ready(45_000);
      await weftd.peers(1);
    }
    await mustPing(one.pod.ns, two.pod.address, { count: 1 });
  }

  /** Traffic both ways, from before something happens until after it, and for as long as the bench says. */
  async traffic(
    during: () => Promise<void> = nothing,
    stream: Partial<StreamOptions> = {},
  ): Promise<Accounts> {
    const [one, two] = this.nodes;
    const ways: [Way, Way] = [
      { from: one, to: two, wire: this.wire, direction: "from" },
      { from: two, to: one, wire: this.wire, direction: "to" },
    ];
    const { perSecond, milliseconds } = this.options;
    const options = { perSecond, ...stream };
    const before = [await readPlaces(ways[0]), await readPlaces(ways[1])] as const;
    const begin = performance.now();
    const streams = await Promise.all(
      ways.map(({ from, to }) =>
        this.ledger.start(from.pod.ns, to.pod.ns, to.pod.address, LEDGER_PORT, options),
      ),
    );
    await during();
    await delay(Math.max(0, milliseconds - (performance.now() - begin)));
    const [there, back] = await Promise.all(streams.map((stream) => stream.stop()));
    if (there === undefined || back === undefined) throw new Error("two streams have two accounts");
    this.#carried += there.sent + back.sent;
    this.#last = [
      settle(there, before[0], await readPlaces(ways[0])),
      settle(back, before[1], await readPlaces(ways[1])),
    ];
    return this.#last;
  }
}

/** A small file system of its own for what a host's daemon writes. Returns its path. */
async function mountDisk(path: string, onCleanup: OnCleanup): Promise<string> {
  await mkdir(path);
  await run("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES},mode=755`, "weft-bench", path]);
  const unmount = (): void => void spawnSync("umount", ["--lazy", path]);
  const cancel = atExit(unmount);
  onCleanup(() => {
    unmount();
    cancel();
  });
  return path;
}

async function nothing(): Promise<void> {
  // Time passes.
}

/** Hosts, and what tells their daemons where routes come from. */
interface Ground {
  readonly bed: Bed;
  readonly etcd: Etcd | null;
  readonly argsOf: (host: Host) => string[];
}

async function fromFile(onCleanup: OnCleanup, format: "udp" | "vxlan"): Promise<Ground> {
  const bed = await Bed.create(onCleanup, { hosts: 2 });
  const overlay = await Overlay.create(onCleanup, { format });
  for (const host of bed.hosts) await overlay.addToFile(host);
  return { bed, etcd: null, argsOf: () => [`--registry=file:${overlay.peersFile}`] };
}

async function fromEtcd(onCleanup: OnCleanup, format: "udp" | "vxlan"): Promise<Ground> {
  const config = { Network: "10.5.0.0/16", Backend: { Type: format } };
  const { bed, etcd } = await EtcdBed.start(onCleanup, config, { hosts: 2 });
  const argsOf = (host: Host): string[] => [
    `--etcd-endpoints=${etcd.endpoint}`,
    `--node-id=host${host.index}`,
  ];
  return { bed, etcd, argsOf };
}

/** Waits for something that a fault brings about; returns the milliseconds that it took. */
export async function took(what: string, probe: () => Promise<boolean>, timeoutMs = 30_000): Promise<number> {
  const begin = performance.now();
  await until(what, async () => ((await probe()) ? true : null), timeoutMs);
  return performance.now() - begin;
}
