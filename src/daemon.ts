/**
 * The daemon: builds every part, wires them, and owns the order in which they start and stop.
 *
 *   lock → admin socket → network config → underlay → TUN and sockets → lease → tables → workers → addresses and
 *   route → subnet.env → ready
 *
 * What can fail on this host comes before the lease, so that a host that cannot carry packets claims none. Afterwards
 * the daemon only reacts: a snapshot of the registry becomes tables, an event of the dataplane becomes a log line or
 * the end. Stopping closes in reverse order and keeps the lease and subnet.env, so that a restart keeps the subnet.
 *
 * It may begin with workers that run already, for a process that died (resume.cts), or take them over from one that runs
 * (handover.ts), and hand its own over in the end.
 */
import { closeSync, mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { EXIT_FAILED, EXIT_LEFT, EXIT_OK, WeftError } from "./config/errors.js";
import { type NetworkConfig, overlayNetworks } from "./config/network-config.js";
import type { Options } from "./config/options.js";
import { Dataplane } from "./dataplane/engine.js";
import estates from "./dataplane/estate.cjs";
import type { Inheritance, OpenSettings } from "./dataplane/inheritance.js";
import { logEvent } from "./dataplane/events.js";
import { explainOpenError } from "./dataplane/open-error.js";
import { paced } from "./etcd/paced.js";
import { EtcdRegistry } from "./etcd/registry.js";
import { type Compiled, recompileTables } from "./fib/recompile.js";
import { Predecessor, Succession } from "./handover.js";
import { Inspector } from "./inspect.js";
import type { Lease } from "./lease/lease.js";
import type { Registry, Snapshot } from "./lease/registry.js";
import { forwardingProblems } from "./linux/forwarding.js";
import { type TunSettings, checkNetworks, configureTun } from "./linux/link.js";
import { Netlink } from "./linux/netlink.js";
import { readSubnetEnv, writeSubnetEnv } from "./linux/subnet-env.js";
import { type Underlay, chooseUnderlay } from "./linux/underlay.js";
import { type DataplaneEvent, type FdName, type Native, type OpenOptions } from "./native/bindings.js";
import load from "./native/load.cjs";
import type { Family } from "./net/ip.js";
import { type HandoverRequest, startAdmin } from "./observe/admin.js";
import { Health } from "./observe/health.js";
import { type RunningServer, startHealthServer } from "./observe/http.js";
import { type Log, createLog } from "./observe/log.js";
import { type Notifier, createNotifier } from "./observe/notify.js";
import { Rejections } from "./rejections.js";
import { type Subject, reportCounters, reportPeers, reportRoutes, reportStatus } from "./report.js";
import { checkSeparation, flagsWithoutEffect, hostSettings, tunSettings } from "./settings.js";
import resume from "./resume.cjs";
import { FileRegistry } from "./static/registry.js";

/** How often what nobody tells us about is looked at: the registry's state and the host's forwarding switches. */
const AUDIT_MS = 1000;
/** For so long a firewall that was met is reported. */
const FIREWALL_MS = 30_000;
/** At most so often is written what a next daemon would go on with. */
const ESTATE_PAUSE_MS = 500;
/** So long after a file could not be written, it is tried again. */
const WRITE_AGAIN_MS = 1000;
/** Who carries packets for so long is not one of those that keep dying. */
const LASTING_MS = 500;
/** With fewer, two workers cost round trips more than they give bulk traffic (docs/performance.md). */
const CORES_FOR_TWO = 4;

/**
 * Runs until SIGTERM or SIGINT, or until another daemon has taken over; resolves with the exit code. Rejects with a
 * WeftError when it cannot start. The process is to end then.
 */
export async function runDaemon(options: Options, inheritance: Inheritance): Promise<number> {
  const log = createLog(options.logLevel);
  const stop = new AbortController();
  const daemon = new Daemon(options, inheritance, log, stop);
  const onStop = (signal: NodeJS.Signals): void => {
    log.info({ reason: signal }, "stopping");
    stop.abort(STOPPED);
  };
  const onReload = (): void => daemon.reload();
  // Who started this process in the background (`weft restart`) has given up on it.
  const onDisconnect = (): void => {
    if (!daemon.carries) stop.abort(new WeftError("who started this weftd has given up on it"));
  };
  process.on("SIGTERM", onStop).on("SIGINT", onStop).on("SIGHUP", onReload).on("disconnect", onDisconnect);
  if (process.send !== undefined && !process.connected) onDisconnect();
  try {
    await daemon.start();
    await aborted(stop.signal);
    return EXIT_OK;
  } catch (error) {
    if (error === STOPPED || error === LEFT) resume.noteLasting(options.runDir);
    if (error === STOPPED) return EXIT_OK;
    if (error === LEFT) return EXIT_LEFT;
    if (error === REPLACED) return EXIT_OK;
    // The service manager's log should show the end as it shows everything else; who started us sees it on stderr.
    log.fatal({ err: error }, "weftd ends");
    throw error;
  } finally {
    if (stop.signal.reason !== REPLACED) await daemon.close();
    process.off("SIGTERM", onStop).off("SIGINT", onStop).off("SIGHUP", onReload);
    process.off("disconnect", onDisconnect);
  }
}

/** The reason that a stop was asked for, as opposed to a failure. */
const STOPPED = new Error("stopped");
/** The reason that a stop for good was asked for, with `weft leave`. */
const LEFT = new Error("left the network");

/** The reason when another daemon has taken over: everything is its own by now, and nothing is to be closed. */
const REPLACED = new Error("replaced");

/** Rejects with the signal's reason when it fires; never resolves. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = (): void => reject(signal.reason as Error);
    if (signal.aborted) fail();
    signal.addEventListener("abort", fail, { once: true });
  });
}

/** Tells `weft restart`, which waits for it; one that is gone misses nothing. */
function tellStarter(word: "taken over" | "carrying"): void {
  process.send?.(word, undefined, undefined, () => undefined);
}

class Daemon implements Subject {
  config: NetworkConfig | null = null;
  underlay: Underlay | null = null;
  dataplane: Dataplane | null = null;
  own: Lease | null = null;
  tun: TunSettings | null = null;
  /** Whether packets are this daemon's, or about to be. */
  carries = false;
  readonly registry: Registry;
  readonly #options: Options;
  readonly #inheritance: Inheritance;
  /** What carries packets since this process began. */
  readonly #resumed: Dataplane | null;
  readonly #log: Log;
  readonly #stop: AbortController;
  readonly #native: Native;
  readonly #netlink: Netlink;
  #notifier: Notifier;
  readonly #health: Health;
  readonly #inspector = new Inspector(this);
  readonly #rejections: Rejections;
  readonly #saveEstate: () => void;
  /** Holds the run directory's lock. */
  #lockFd = -1;
  #watchdogMs = 0;
  #firewall: NodeJS.Timeout | null = null;
  #succession: Succession | null = null;
  #settings: OpenSettings | null = null;
  #compiled: Compiled | null = null;
  /** What a next daemon would go on with is older than what is in force. */
  #unwritten = false;
  readonly #servers: RunningServer[] = [];
  /** What to undo, oldest first. */
  readonly #closers: (() => void | Promise<void>)[] = [];

  constructor(options: Options, inheritance: Inheritance, log: Log, stop: AbortController) {
    this.#options = options;
    this.#inheritance = inheritance;
    this.#saveEstate = paced(() => this.#writeEstate(), ESTATE_PAUSE_MS, stop.signal);
    this.#log = log;
    this.#stop = stop;
    this.#rejections = new Rejections(log);
    this.#native = load.loadNative();
    this.#resumed = inheritance.resumed && Dataplane.resumed(this.#native, inheritance.resumed);
    this.#netlink = new Netlink(this.#native);
    this.#notifier = this.#createNotifier();
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

  get rejected(): Rejections["current"] {
    return this.#rejections.current;
  }

  get rejections(): Rejections["counts"] {
    return this.#rejections.counts;
  }

  get tunQueueLost(): number {
    return this.dataplane === null ? 0 : (this.#netlink.link(this.dataplane.ifindex)?.txDropped ?? 0);
  }

  async start(): Promise<void> {
    const { signal } = this.#stop;
    for (const warning of this.#options.warnings) this.#log.warn(warning);
    if (this.#inheritance.waited)
      this.#log.warn("those before this weftd did not last: it waited for a while");
    const { replace, runDir } = this.#options;
    const predecessor = replace ? await Predecessor.meet(this.#native, runDir) : null;
    // Until it has taken over, this process is none of the service manager's business.
    if (predecessor !== null) this.#notifier = this.#createNotifier(null);
    this.#lockFd = predecessor?.lock ?? this.#lock();
    this.#closers.push(() => this.registry.close());
    if (predecessor === null) await this.#serve();
    this.#watchdogMs = predecessor?.watchdogMs ?? Number(process.env["WATCHDOG_USEC"] ?? 0) / 1000;
    if (this.#watchdogMs > 0) this.#watch(this.#watchdogMs / 4);
    const audit = setInterval(() => this.#audit(), AUDIT_MS);
    this.#closers.push(() => clearInterval(audit));

    this.config = await this.registry.networkConfig(signal);
    const warnings = [...this.config.warnings, ...flagsWithoutEffect(this.#options, this.config)];
    for (const warning of warnings) this.#log.warn(warning);
    this.underlay = chooseUnderlay(this.#netlink, this.#options);
    checkSeparation(this.config, this.underlay, this.#options.peerAliases);
    this.dataplane = this.#open(this.config, this.underlay, predecessor);
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
    if (predecessor === null) {
      this.carries = true;
      if (this.dataplane !== this.#resumed) this.dataplane.start();
    } else {
      await this.#takeOver(predecessor, this.dataplane);
    }
    this.#keepFds(this.dataplane);
    configureTun(this.#netlink, this.tun);
    this.#carrying(this.dataplane);
    while (!this.#writeSubnetEnv(this.config, this.tun, this.own)) {
      await delay(WRITE_AGAIN_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
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
    // Last: packets are carried to the end, and those that come then wait for the next daemon, where one is to come.
    (this.dataplane ?? this.#resumed)?.stop();
    if (this.#lockFd >= 0) closeSync(this.#lockFd);
  }

  #createNotifier(socket = process.env["NOTIFY_SOCKET"] ?? null): Notifier {
    return createNotifier(
      (path, data, fds) => this.#native.sendDatagram(path, data, fds),
      socket,
      (err) => this.#log.warn({ err }, "the service manager cannot be told"),
    );
  }

  /** Packets are this daemon's from now on, and so is everything else of the one before. */
  async #takeOver(predecessor: Predecessor, dataplane: Dataplane): Promise<void> {
    this.#stop.signal.throwIfAborted();
    this.carries = true;
    await predecessor.handOver(dataplane);
    tellStarter("taken over");
    this.#notifier = this.#createNotifier();
    this.#notifier.takeOver();
    await predecessor.end(this.#log);
    resume.noteLasting(this.#options.runDir);
    this.#log.info("taken over from the weftd that ran before");
    await this.#serve();
  }

  #lock(): number {
    const { runDir } = this.#options;
    const path = join(runDir, "weftd.lock");
    try {
      mkdirSync(runDir, { recursive: true, mode: 0o755 });
      return this.#native.lockFile(path);
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
      succession: {
        offer: (request: HandoverRequest) => this.#heir().offer(request),
        pause: (request: HandoverRequest) => this.#heir().pause(request),
        end: () => this.#end(),
      },
    };
    this.#closers.push(async () => {
      for (const server of this.#servers) await server.close();
    });
    this.#servers.push(await startAdmin(runDir, source));
    if (healthzPort !== 0) this.#servers.push(await startHealthServer(healthzIp, healthzPort, source));
  }

  /** What hands over to the next daemon. Throws a WeftError while there is nothing to hand over. */
  #heir(): Succession {
    if (this.#succession === null) throw new WeftError("this weftd is not ready yet: stop it instead");
    return this.#succession;
  }

  #end(): void {
    this.#heir().end();
    for (const server of this.#servers) server.release();
    // Once the answer is on its way.
    setImmediate(() => this.#stop.abort(REPLACED));
  }

  /** Tells the service manager every now and then that the event loop and all workers move. */
  #watch(everyMs: number): void {
    const watch = setInterval(() => {
      const dataplane = this.dataplane ?? this.#resumed;
      if (dataplane?.advanced() ?? true) this.#notifier.alive();
    }, everyMs);
    this.#closers.push(() => clearInterval(watch));
  }

  #writeEstate(): void {
    const rows = this.dataplane?.rows ?? null;
    if (rows === null || this.#settings === null) return;
    try {
      estates.writeEstate(this.#options.runDir, { settings: this.#settings, rows });
      this.#unwritten = false;
      this.#health.ok("estate");
    } catch (error) {
      const { message } = error as Error;
      this.#unwritten = true;
      this.#health.degraded(
        "estate",
        `a crash would cost packets, the run directory is not writable: ${message}`,
      );
    }
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
    if (this.#unwritten) this.#saveEstate();
    const { connected, problem, failed, source } = this.registry.status();
    if (failed && problem !== null) this.#health.failed("registry", problem);
    else if (problem !== null) this.#health.degraded("registry", problem);
    else if (connected) this.#health.ok("registry");
    else this.#health.degraded("registry", `no contact with the registry ${source}`);
    const problems = forwardingProblems(this.own?.subnets.map(({ prefix }) => prefix.ip.family) ?? []);
    if (problems.length > 0) this.#health.degraded("forwarding", problems.join("; "));
    else this.#health.ok("forwarding");
  }

  #open({ backend }: NetworkConfig, underlay: Underlay, predecessor: Predecessor | null): Dataplane {
    const settings: OpenSettings = {
      tun: this.#options.tun,
      format: backend.type,
      port: backend.port,
      underlay4: underlay.publicIp !== null,
      underlay6: underlay.publicIpv6 !== null && backend.type === "vxlan",
      offloads: this.#options.offloads,
      workers: this.#options.workers ?? (availableParallelism() >= CORES_FOR_TWO ? 2 : 1),
      realtime: this.#options.realtime,
    };
    const fds = predecessor?.fds ?? this.#inheritance.fds;
    const dataplane = this.#carryOn(settings) ?? this.#openAnew({ ...settings, adopt: fds });
    for (const [name, fd] of Object.entries(fds)) {
      closeSync(fd);
      if (dataplane.adopted.includes(name as FdName)) continue;
      this.#log.warn(
        { component: "dataplane", reason: name },
        "a descriptor of the weftd before is not used",
      );
    }
    dataplane.listen((events) => this.#onEvents(events));
    this.#settings = settings;
    if (predecessor !== null) this.#inheritRows(dataplane, settings);
    this.#closers.push(() => this.#inspector.close());
    return dataplane;
  }

  /** The tables by which the daemon before carries packets, until the registry answers. */
  #inheritRows(dataplane: Dataplane, settings: OpenSettings): void {
    const estate = estates.readEstate(this.#options.runDir);
    if (estate !== null && isDeepStrictEqual(estate.settings, settings)) dataplane.replaceRows(estate.rows);
  }

  /** Has the service manager keep the descriptors for a next process, and none besides. */
  #keepFds({ fds, adopted }: Dataplane): void {
    for (const name of estates.FD_NAMES) {
      const fd = fds[name];
      if (!adopted.includes(name)) this.#notifier.drop(name);
      if (fd !== undefined) this.#notifier.keep(name, fd);
    }
  }

  /** The dataplane that runs already, if it is the one that is wanted; else it is stopped. */
  #carryOn(settings: OpenSettings): Dataplane | null {
    if (isDeepStrictEqual(this.#inheritance.resumed?.settings, settings)) return this.#resumed;
    this.#resumed?.stop();
    return null;
  }

  #openAnew(options: OpenOptions): Dataplane {
    try {
      return Dataplane.open(this.#native, options);
    } catch (error) {
      throw explainOpenError(error as NodeJS.ErrnoException, options);
    }
  }

  #apply({ config, peers, rejected, stale }: Snapshot): void {
    this.config = config;
    const { underlay, dataplane, own, tun } = this;
    if (underlay === null || dataplane === null || own === null || tun === null) return;
    this.#compiled = recompileTables(this.#compiled, {
      ...hostSettings(this.#options, config, underlay),
      mtu: tun.mtu,
      own,
      peers,
    });
    const { tables } = this.#compiled;
    // The last daemon carried packets by what it knew last; what the registry remembers of then may be older.
    if (stale && dataplane.rows !== null && !dataplane.has(tables)) return;
    const knownUnused = dataplane.tables?.unusedAliases.map(({ message }) => message) ?? [];
    const changed = dataplane.replaceTables(tables);
    // Until this daemon carries packets, the next one would go on with what the one before it left.
    if (changed && this.#succession !== null) this.#saveEstate();
    for (const { alias, message } of tables.unusedAliases) {
      if (knownUnused.includes(message)) continue;
      this.#log.warn(
        { component: "dataplane", endpoint: alias.address.text },
        `peer alias not used: ${message}`,
      );
    }
    this.#rejections.note(rejected);
    if (!changed) return;
    this.#log.info(
      { component: "dataplane", generation: dataplane.generation, count: tables.nodes.length },
      "peers changed",
    );
  }

  #onEvents(events: readonly DataplaneEvent[]): void {
    const log = this.#log.child({ component: "dataplane" });
    for (const event of events) {
      const failure = this.dataplane === null ? null : logEvent(event, this.dataplane, log);
      if (failure !== null) this.#stop.abort(new WeftError(failure));
      if (event.kind === "peer-error" && event.code === "EPERM") this.#noteFirewall();
    }
  }

  /** A rule of this host drops what the workers send; they tell of it every ten seconds while that lasts. */
  #noteFirewall(): void {
    this.#health.degraded(
      "firewall",
      "this host's own firewall drops datagrams of the tunnel on their way out",
    );
    this.#firewall ??= setTimeout(() => this.#health.ok("firewall"), FIREWALL_MS).unref();
    this.#firewall.refresh();
  }

  /** False when it cannot be written: packets flow, and CNI plugins wait for it. */
  #writeSubnetEnv({ ipv4, ipv6 }: NetworkConfig, tun: TunSettings, own: Lease): boolean {
    const { subnetFile, ipMasq } = this.#options;
    const pair = (pool: NetworkConfig["ipv4"], family: Family) => {
      const subnet = own.subnets.find(({ prefix }) => prefix.ip.family === family)?.prefix;
      return pool === null || subnet === undefined ? null : { network: pool.network, subnet };
    };
    try {
      writeSubnetEnv(subnetFile, { ipv4: pair(ipv4, 4), ipv6: pair(ipv6, 6), mtu: tun.mtu, ipMasq });
      this.#health.ok("subnet.env");
      return true;
    } catch (error) {
      const { message } = error as Error;
      this.#health.degraded("subnet.env", `pods cannot be set up, ${subnetFile} is not writable: ${message}`);
      return false;
    }
  }

  /** From now on another daemon can go on where this one ends. */
  #carrying(dataplane: Dataplane): void {
    this.#succession = new Succession(this.#native, dataplane, this.#lockFd, this.#watchdogMs, this.#log);
    this.#writeEstate();
    setTimeout(() => resume.noteLasting(this.#options.runDir), LASTING_MS).unref();
    tellStarter("carrying");
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
