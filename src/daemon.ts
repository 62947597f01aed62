/**
 * The daemon: builds every part, wires them, and owns the order in which they start and stop.
 *
 *   lock → admin socket → network config → underlay → TUN and sockets → lease → tables → workers → addresses and
 *   route → subnet.env → ready
 *
 * What can fail on this host comes before the lease, so that a host that cannot carry packets claims none. Afterwards
 * the daemon only reacts: a snapshot of the registry becomes tables, an event of the dataplane becomes a log line or
 * the end. Stopping closes in reverse order and keeps the lease and subnet.env, so that a restart keeps the subnet.
 */
import { closeSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { EXIT_FAILED, EXIT_LEFT, EXIT_OK, WeftError } from "./config/errors.js";
import { type NetworkConfig, overlayNetworks } from "./config/network-config.js";
import type { Options } from "./config/options.js";
import { Dataplane } from "./dataplane/engine.js";
import { logEvent } from "./dataplane/events.js";
import { explainOpenError } from "./dataplane/open-error.js";
import { EtcdRegistry } from "./etcd/registry.js";
import { compileTables } from "./fib/compile.js";
import { Inspector } from "./inspect.js";
import type { Lease, Rejection, RejectionReason } from "./lease/lease.js";
import type { Registry, Snapshot } from "./lease/registry.js";
import { forwardingProblems } from "./linux/forwarding.js";
import { type TunSettings, checkNetworks, configureTun } from "./linux/link.js";
import { Netlink } from "./linux/netlink.js";
import { readSubnetEnv, writeSubnetEnv } from "./linux/subnet-env.js";
import { type Underlay, chooseUnderlay } from "./linux/underlay.js";
import type { DataplaneEvent, Native, OpenOptions } from "./native/bindings.js";
import { loadNative } from "./native/load.js";
import type { Family } from "./net/ip.js";
import { startAdmin } from "./observe/admin.js";
import { Health } from "./observe/health.js";
import { startHealthServer } from "./observe/http.js";
import { type Log, createLog } from "./observe/log.js";
import { type Notifier, createNotifier } from "./observe/notify.js";
import { type Subject, reportCounters, reportPeers, reportRoutes, reportStatus } from "./report.js";
import { checkSeparation, flagsWithoutEffect, hostSettings, tunSettings } from "./settings.js";
import { FileRegistry } from "./static/registry.js";

/** How often what nobody tells us about is looked at: the registry's state and the host's forwarding switches. */
const AUDIT_MS = 1000;
/** So many rejected leases of one change get a line in the log. */
const MOST_LINES = 20;

/** Runs until SIGTERM or SIGINT; resolves with the exit code. Rejects with a WeftError when it cannot start. */
export async function runDaemon(options: Options): Promise<number> {
  const log = createLog(options.logLevel);
  const stop = new AbortController();
  const daemon = new Daemon(options, log, stop);
  const onStop = (signal: NodeJS.Signals): void => {
    log.info({ reason: signal }, "stopping");
    stop.abort(STOPPED);
  };
  const onReload = (): void => daemon.reload();
  process.on("SIGTERM", onStop).on("SIGINT", onStop).on("SIGHUP", onReload);
  try {
    await daemon.start();
    await aborted(stop.signal);
    return EXIT_OK;
  } catch (error) {
    if (error === STOPPED) return EXIT_OK;
    if (error === LEFT) return EXIT_LEFT;
    // The service manager's log should show the end as it shows everything else; who started us sees it on stderr.
    log.fatal({ err: error }, "weftd ends");
    throw error;
  } finally {
    await daemon.close();
    process.off("SIGTERM", onStop).off("SIGINT", onStop).off("SIGHUP", onReload);
  }
}

/** The reason that a stop was asked for, as opposed to a failure. */
const STOPPED = new Error("stopped");
/** The reason that a stop for good was asked for, with `weft leave`. */
const LEFT = new Error("left the network");

/** Rejects with the signal's reason when it fires; never resolves. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = (): void => reject(signal.reason as Error);
    if (signal.aborted) fail();
    signal.addEventListener("abort", fail, { once: true });
  });
}

class Daemon implements Subject {
  config: NetworkConfig | null = null;
  underlay: Underlay | null = null;
  dataplane: Dataplane | null = null;
  own: Lease | null = null;
  tun: TunSettings | null = null;
  rejected: readonly Rejection[] = [];
  readonly rejections = new Map<RejectionReason, number>();
  readonly registry: Registry;
  readonly #options: Options;
  readonly #log: Log;
  readonly #stop: AbortController;
  readonly #native: Native;
  readonly #netlink: Netlink;
  readonly #notifier: Notifier;
  readonly #health: Health;
  readonly #inspector = new Inspector(this);
  /** What to undo, oldest first. */
  readonly #closers: (() => void | Promise<void>)[] = [];

  constructor(options: Options, log: Log, stop: AbortController) {
    this.#options = options;
    this.#log = log;
    this.#stop = stop;
    this.#native = loadNative();
    this.#netlink = new Netlink(this.#native);
    this.#notifier = createNotifier(
      (path, data) => this.#native.sendDatagram(path, data, []),
      process.env["NOTIFY_SOCKET"] ?? null,
      (err) => log.warn({ err }, "the service manager cannot be told"),
    );
    this.#health = new Health(({ state, reasons }) => {
      log.info(
        { component: "health", state, ...(reasons.length > 0 && { reason: reasons.join("; ") }) },
        "health changed",
      );
      this.#notifier.status([state, ...reasons].join("; "));
    });
    this.registry =
      options.registry.kind === "file"
        ? new FileRegistry(options.registry, log)
        : new EtcdRegistry(
            options.registry,
            options.leaseRenewMarginMinutes,
            log,
            join(options.stateDir, "etcd-memory"),
          );
  }

  get health(): ReturnType<Health["status"]> {
    return this.#health.status();
  }

  get tunQueueLost(): number {
    return this.dataplane === null ? 0 : (this.#netlink.link(this.dataplane.ifindex)?.txDropped ?? 0);
  }

  async start(): Promise<void> {
    const { signal } = this.#stop;
    for (const warning of this.#options.warnings) this.#log.warn(warning);
    this.#lock();
    this.#closers.push(() => this.registry.close());
    await this.#serve();
    const audit = setInterval(() => this.#audit(), AUDIT_MS);
    this.#closers.push(() => clearInterval(audit));

    this.config = await this.registry.networkConfig(signal);
    const warnings = [...this.config.warnings, ...flagsWithoutEffect(this.#options, this.config)];
    for (const warning of warnings) this.#log.warn(warning);
    this.underlay = chooseUnderlay(this.#netlink, this.#options);
    checkSeparation(this.config, this.underlay, this.#options.peerAliases);
    this.dataplane = this.#open(this.config, this.underlay);
    checkNetworks(this.#netlink, { ifindex: this.dataplane.ifindex, networks: overlayNetworks(this.config) });

    const previous = readSubnetEnv(this.#options.subnetFile);
    this.own = await this.registry.acquire(
      {
        publicIp: this.underlay.publicIp,
        publicIpv6: this.underlay.publicIpv6,
        config: this.config,
        previousSubnet: previous?.ipv4?.subnet.text ?? null,
        previousSubnet6: previous?.ipv6?.subnet.text ?? null,
        nodeId: this.#options.nodeId,
        reclaim: this.#options.reclaim,
      },
      signal,
    );
    this.tun = tunSettings(this.config, this.underlay, this.dataplane.ifindex, this.own);
    await this.registry.watch((snapshot) => this.#apply(snapshot), signal);
    this.dataplane.start();
    configureTun(this.#netlink, this.tun);
    this.#writeSubnetEnv(this.config, this.tun, this.own);
    this.#ready();
  }

  /** SIGHUP: reads the peers file again; the registry in etcd is followed anyway. Until ready, all is read afresh. */
  reload(): void {
    if (this.health.state === "starting") return;
    this.#notifier.reloading();
    if (this.registry instanceof FileRegistry) this.registry.reload();
    this.#notifier.ready(this.health.state);
  }

  async close(): Promise<void> {
    this.#notifier.stopping();
    for (const close of this.#closers.reverse()) await close();
  }

  #lock(): void {
    const { runDir } = this.#options;
    const path = join(runDir, "weftd.lock");
    try {
      mkdirSync(runDir, { recursive: true, mode: 0o755 });
      const fd = this.#native.lockFile(path);
      this.#closers.push(() => closeSync(fd));
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      throw new WeftError(
        code === "EAGAIN"
          ? `another weftd already runs with the directory ${runDir}; stop it, or choose another with --run-dir`
          : `cannot use the run directory: ${message}`,
        EXIT_FAILED,
        { cause },
      );
    }
  }

  async #serve(): Promise<void> {
    const { runDir, healthzIp, healthzPort } = this.#options;
    const source = {
      status: () => reportStatus(this),
      peers: () => reportPeers(this),
      routes: () => reportRoutes(this),
      counters: () => reportCounters(this),
      setLogLevel: (level: Options["logLevel"]) => {
        this.#log.level = level;
      },
      leave: () => this.#leave(),
      inspector: this.#inspector,
    };
    const admin = await startAdmin(runDir, source);
    this.#closers.push(() => admin.close());
    if (healthzPort === 0) return;
    const server = await startHealthServer(healthzIp, healthzPort, source);
    this.#closers.push(() => server.close());
  }

  /** Gives the lease back and ends the daemon; it goes on when that fails. Resolves with a sentence. */
  async #leave(): Promise<string> {
    const message = await this.registry.leave();
    this.#log.info({ reason: "leave" }, "stopping");
    // Once the answer is on its way.
    setImmediate(() => this.#stop.abort(LEFT));
    return message;
  }

  #audit(): void {
    const { connected, problem, failed, source } = this.registry.status();
    if (failed && problem !== null) this.#health.failed("registry", problem);
    else if (problem !== null) this.#health.degraded("registry", problem);
    else if (connected) this.#health.ok("registry");
    else this.#health.degraded("registry", `no contact with the registry ${source}`);
    const problems = forwardingProblems(this.own?.subnets.map(({ prefix }) => prefix.ip.family) ?? []);
    if (problems.length > 0) this.#health.degraded("forwarding", problems.join("; "));
    else this.#health.ok("forwarding");
  }

  #open({ backend }: NetworkConfig, underlay: Underlay): Dataplane {
    const options: OpenOptions = {
      tun: this.#options.tun,
      format: backend.type,
      port: backend.port,
      underlay4: underlay.publicIp !== null,
      underlay6: underlay.publicIpv6 !== null && backend.type === "vxlan",
      offloads: this.#options.offloads,
      adopt: {},
    };
    try {
      const dataplane = new Dataplane(this.#native, options, (events) => this.#onEvents(events));
      this.#closers.push(
        () => dataplane.stop(),
        () => this.#inspector.close(),
      );
      return dataplane;
    } catch (error) {
      throw explainOpenError(error as NodeJS.ErrnoException, options);
    }
  }

  #apply({ config, peers, rejected }: Snapshot): void {
    this.config = config;
    const { underlay, dataplane, own, tun } = this;
    if (underlay === null || dataplane === null || own === null || tun === null) return;
    const tables = compileTables({
      ...hostSettings(this.#options, config, underlay),
      mtu: tun.mtu,
      own,
      peers,
    });
    const knownUnused = dataplane.tables?.unusedAliases.map(({ message }) => message) ?? [];
    const changed = dataplane.replaceTables(tables);
    for (const { alias, message } of tables.unusedAliases) {
      if (knownUnused.includes(message)) continue;
      this.#log.warn(
        { component: "dataplane", endpoint: alias.address.text },
        `peer alias not used: ${message}`,
      );
    }
    this.#noteRejected(rejected);
    if (!changed) return;
    this.#log.info(
      { component: "dataplane", generation: dataplane.generation, count: tables.nodes.length },
      "peers changed",
    );
  }

  /** One line for each key that is newly not used, but not for each of thousands. */
  #noteRejected(rejected: readonly Rejection[]): void {
    const known = new Set(this.rejected.map(({ key, message }) => `${key} ${message}`));
    const unknown = rejected.filter(({ key, message }) => !known.has(`${key} ${message}`));
    for (const { key, reason, message } of unknown.slice(0, MOST_LINES)) {
      this.#log.warn({ component: "registry", peer: key, reason }, `lease not used: ${message}`);
    }
    if (unknown.length > MOST_LINES) {
      this.#log.warn({ component: "registry", count: unknown.length - MOST_LINES }, "more leases not used");
    }
    for (const { reason } of unknown) {
      this.rejections.set(reason, (this.rejections.get(reason) ?? 0) + 1);
    }
    this.rejected = rejected;
  }

  #onEvents(events: readonly DataplaneEvent[]): void {
    const log = this.#log.child({ component: "dataplane" });
    for (const event of events) {
      const failure = this.dataplane === null ? null : logEvent(event, this.dataplane, log);
      if (failure !== null) this.#stop.abort(new WeftError(failure));
    }
  }

  #writeSubnetEnv({ ipv4, ipv6 }: NetworkConfig, tun: TunSettings, own: Lease): void {
    const { subnetFile, ipMasq } = this.#options;
    const pair = (pool: NetworkConfig["ipv4"], family: Family) => {
      const subnet = own.subnets.find(({ prefix }) => prefix.ip.family === family)?.prefix;
      return pool === null || subnet === undefined ? null : { network: pool.network, subnet };
    };
    try {
      writeSubnetEnv(subnetFile, { ipv4: pair(ipv4, 4), ipv6: pair(ipv6, 6), mtu: tun.mtu, ipMasq });
    } catch (cause) {
      throw new WeftError(`cannot write ${subnetFile}: ${(cause as Error).message}`, EXIT_FAILED, { cause });
    }
  }

  #ready(): void {
    const subnets = this.own?.subnets.map(({ prefix }) => prefix.text).join(" ") ?? "";
    this.#audit();
    this.#health.ready();
    this.#notifier.ready(`carrying packets for ${subnets}`);
    this.#log.info(
      { prefix: subnets, iface: this.underlay?.name, count: this.dataplane?.tables?.nodes.length },
      "ready",
    );
  }
}
