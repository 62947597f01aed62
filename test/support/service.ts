/**
 * weftd as a service: under a stand-in for systemd (service-manager.py) that keeps its descriptors and starts it again
 * whenever it ends. The daemon is asked as ever; `program` is the manager.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Namespace } from "./netns.js";
import { type Program, type RunResult, until } from "./process.js";
import { Weftd, type WeftdOptions } from "./weftd.js";

const managerFile = fileURLToPath(new URL("../../../test/support/service-manager.py", import.meta.url));
const ownPrograms = fileURLToPath(new URL("../../src/", import.meta.url));

export interface ServiceOptions extends WeftdOptions {
  /** WatchdogSec=. None by default. */
  readonly watchdogSeconds?: number;
}

export class Service {
  /** Programs that were run as the service's own. */
  #runs = 0;

  private constructor(
    readonly ns: Namespace,
    readonly weftd: Weftd,
    private readonly options: ServiceOptions,
  ) {}

  static async start(ns: Namespace, directory: string, options: ServiceOptions): Promise<Service> {
    const service = await Service.launch(ns, directory, options);
    await service.weftd.ready();
    return service;
  }

  /** Starts the manager without waiting for its daemon; `wrapper` is a command that runs the one it is given. */
  static async launch(
    ns: Namespace,
    directory: string,
    options: ServiceOptions,
    wrapper: readonly string[] = [],
  ): Promise<Service> {
    const env = { ...options.env, SERVICE_WATCHDOG_S: String(options.watchdogSeconds ?? 0) };
    const manager = ["python3", managerFile, directory, ...wrapper];
    return new Service(ns, await Weftd.launch(ns, directory, { ...options, env }, manager), options);
  }

  get manager(): Program {
    return this.weftd.program;
  }

  /** The main process. */
  get pid(): number {
    return Number(this.lines(/^main (\d+)$/).at(-1)?.[1]);
  }

  /** What the manager said, as far as it matches. */
  lines(pattern: RegExp): RegExpExecArray[] {
    return this.manager.stdout.map((line) => pattern.exec(line)).filter((match) => match !== null);
  }

  /** Waits for another main process that carries packets, be it degraded; returns its pid. */
  async successor(before: number): Promise<number> {
    await until(`a process after ${before}`, async () => {
      const status = await this.weftd.ask("/status").catch(() => null);
      return status !== null && status.health.state !== "starting" && status.pid !== before ? true : null;
    });
    return this.pid;
  }

  /** A signal to the main process; waits for the next one. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const { pid } = this;
    process.kill(pid, signal);
    await this.successor(pid);
  }

  /** As `systemctl restart`: the old process ends, then the new one starts. */
  async restart(): Promise<void> {
    const { pid } = this;
    this.manager.write("restart");
    await this.successor(pid);
  }

  /**
   * As `systemctl reload`: the new process takes over from the old one. Returns the command's exit code. `programs`: the
   * directory of another version's.
   */
  async reload(flags: readonly string[] = [], programs = ownPrograms): Promise<number> {
    const { pid } = this;
    const code = await this.ended(await this.beginReload(flags, programs));
    if (code === 0) await this.successor(pid);
    return code;
  }

  /** Begins that, and returns the pid of the command that waits for it. */
  beginReload(flags: readonly string[] = [], programs = ownPrograms): Promise<number> {
    return this.run("reload", join(programs, "weft.js"), ["restart", ...flags]);
  }

  /** Runs `weft` as somebody at a terminal does, who is not the service manager. */
  byHand(words: readonly string[]): Promise<RunResult> {
    return this.ns.tryRun(process.execPath, [join(ownPrograms, "weft.js"), ...words, ...this.flags()]);
  }

  /** Starts a process that is to take over from the main one, and returns its pid. */
  succeed(): Promise<number> {
    return this.run("run", join(ownPrograms, "weftd.cjs"), ["--replace"]);
  }

  /** Processes that are to take over from the main one, or were and have. */
  async takingOver(): Promise<number[]> {
    const pids = (await readdir("/proc")).map(Number).filter((pid) => pid > 0 && pid !== this.pid);
    const commands = pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""));
    const words = (await Promise.all(commands)).map((command) => command.split("\0"));
    const own = `--run-dir=${this.weftd.directory}`;
    return pids.filter((_, index) => words[index]?.includes("--replace") && words[index].includes(own));
  }

  /** Waits for the end of a process that `succeed` or `beginReload` started; returns its exit code, or minus the signal. */
  async ended(pid: number): Promise<number> {
    const line = new RegExp(`^reloaded ${pid} (-?\\d+)$`);
    return Number(await until("the end of a process", () => this.lines(line)[0]?.[1] ?? null, 60_000));
  }

  /** Runs a program of weft as the service's own, with the service's flags. */
  private async run(verb: "run" | "reload", file: string, words: readonly string[]): Promise<number> {
    const index = this.#runs++;
    const command = [process.execPath, file, ...words, ...this.flags()];
    this.manager.write(`${verb} ${command.join(" ")}`);
    return Number(await until("a process", () => this.lines(/^reloading (\d+)$/)[index]?.[1] ?? null));
  }

  private flags(): string[] {
    const { directory, subnetFile } = this.weftd;
    return [`--run-dir=${directory}`, `--subnet-file=${subnetFile}`, ...this.options.args];
  }
}
