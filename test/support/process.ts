/**
 * Other programs under a test: run one to its end, or start one and talk to it line by line. Every wait is bounded,
 * and whatever was started is ended by its pid when the owner's cleanup runs.
 */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

/** Registers something to undo; undone in reverse order. AVA's `t.teardown` fits, as does a plain stack. */
export type OnCleanup = (cleanup: () => Promise<void> | void) => void;

const exitCleanups = new Set<() => void>();
let exitHooked = false;

/**
 * Runs `cleanup` when this process ends by itself or by a signal, where no asynchronous cleanup can run any more.
 * Returns what takes it back, for the usual case that the asynchronous cleanup did its work.
 */
export function atExit(cleanup: () => void): () => void {
  if (!exitHooked) {
    exitHooked = true;
    process.once("exit", () => {
      for (const each of [...exitCleanups].reverse()) each();
    });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.once(signal, () => process.exit(128 + constants.signals[signal]));
    }
  }
  exitCleanups.add(cleanup);
  return () => exitCleanups.delete(cleanup);
}

/** A directory of its own under the system's temporary one, removed at cleanup. */
export async function temporaryDirectory(onCleanup: OnCleanup): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "weft-"));
  // A process that is being killed may still write a file.
  const remove = (): void => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  const cancel = atExit(remove);
  onCleanup(() => {
    remove();
    cancel();
  });
  return path;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a program to its end, whatever its exit code; -1 when it was killed by the time limit (60 s by default). */
export function tryRun(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const settings = {
      timeout: options.timeoutMs ?? 60_000,
      killSignal: "SIGKILL" as const,
      maxBuffer: 1 << 26,
      env: options.env ?? process.env,
    };
    const child = execFile(command, args, settings, (error, stdout, stderr) => {
      if (error !== null && typeof error.code === "string") {
        reject(new Error(`cannot run ${command}: ${error.message}`, { cause: error }));
      } else {
        resolve({ code: child.exitCode ?? -1, stdout, stderr });
      }
    });
    // A program that ends without reading its input closes the pipe under us: its exit code tells what happened.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(options.input);
  });
}

/** Runs a program that must succeed and returns what it printed; rejects with everything it said otherwise. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await tryRun(command, args, options);
  if (code === 0) return stdout;
  const input = options.input === undefined ? "" : `\n${options.input}`;
  throw new Error(`${command} ${args.join(" ")} → ${code}\n${stdout}${stderr}${input}`);
}

/** Resolves with the first value of `probe` that is not null; rejects naming `what` when time is up. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | null> | T | null,
  timeoutMs = 10_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (let pause = 1; ; pause = Math.min(pause * 2, 20)) {
    const value = await probe();
    if (value !== null) return value;
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(pause);
  }
}

export interface Exit {
  /** Null when a signal ended the process. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program that runs beside the test. Its output is kept line by line. */
export class Program {
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  readonly exited: Promise<Exit>;
  #exit: Exit | null = null;
  readonly #child: ChildProcessWithoutNullStreams;

  constructor(
    readonly command: readonly [string, ...string[]],
    onCleanup: OnCleanup,
    env: NodeJS.ProcessEnv = process.env,
  ) {
    const [file, ...args] = command;
    this.#child = spawn(file, args, { env });
    const cancel = atExit(() => this.#child.kill("SIGKILL"));
    createInterface(this.#child.stdout).on("line", (line) => this.stdout.push(line));
    createInterface(this.#child.stderr).on("line", (line) => this.stderr.push(line));
    this.#child.stdin.on("error", () => undefined);
    this.exited = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#exit ??= { code, signal };
        cancel();
        resolve(this.#exit);
      };
      this.#child.on("close", end);
      this.#child.on("error", (error) => {
        this.stderr.push(error.message);
        end(127, null);
      });
    });
    onCleanup(async () => {
      await this.stop("SIGKILL");
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`not started: ${this.command.join(" ")}`);
    return this.#child.pid;
  }

  /** CPU time used, in seconds (proc(5): fields 14 and 15 of stat, in ticks of 10 ms). Throws when it has ended. */
  get cpuSeconds(): number {
    const stat = statFields(`/proc/${this.pid}/stat`);
    return (Number(stat[14]) + Number(stat[15])) / 100;
  }

  /** The most memory that was resident, in bytes (proc(5): VmHWM). Throws when it has ended. */
  get peakMemory(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]);
  }

  /** How it ended; null while it runs. */
  get exit(): Exit | null {
    return this.#exit;
  }

  /** Writes one line to the program's standard input. */
  write(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends `signal` and waits for the end; SIGKILL after `timeoutMs`. */
  async stop(signal: NodeJS.Signals = "SIGTERM", timeoutMs = 10_000): Promise<Exit> {
    if (this.#exit !== null) return this.#exit;
    this.signal(signal);
    const killer = setTimeout(() => this.#child.kill("SIGKILL"), timeoutMs);
    const exit = await this.exited;
    clearTimeout(killer);
    return exit;
  }

  /** Waits for a line (of either stream, also of the past) that matches; rejects when the program ends without one. */
  async line(pattern: RegExp, timeoutMs = 10_000): Promise<string> {
    const find = (): string | null =>
      this.stdout.find((line) => pattern.test(line)) ??
      this.stderr.find((line) => pattern.test(line)) ??
      null;
    return until(
      `${String(pattern)} from ${this.describe()}`,
      () => {
        const found = find();
        if (found === null && this.#exit !== null)
          throw new Error(`ended without ${String(pattern)}: ${this.describe()}`);
        return found;
      },
      timeoutMs,
    );
  }

  /** Command and last words, for error messages. */
  describe(): string {
    const words = [...this.stdout.slice(-20), ...this.stderr.slice(-20)].join("\n");
    return `${this.command.join(" ")} (${this.#exit === null ? "running" : JSON.stringify(this.#exit)})\n${words}`;
  }
}

/** The fields of a stat file of a process or thread, under the numbers that proc_pid_stat(5) gives them. */
export function statFields(path: string): readonly string[] {
  const stat = readFileSync(path, "latin1");
  const [nameBegin, nameEnd] = [stat.indexOf("(") + 1, stat.lastIndexOf(")")];
  const afterName = stat.slice(nameEnd + 2).split(" ");
  return ["", stat.slice(0, nameBegin - 2), stat.slice(nameBegin, nameEnd), ...afterName];
}

/** What is said there of a thread. */
export interface Thread {
  readonly tid: number;
  readonly name: string;
  readonly state: string;
  /** SCHED_OTHER and so on, as numbers (sched.h). */
  readonly policy: number;
}

export function threadsOf(pid: number): Thread[] {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).map((tid) => {
    const stat = statFields(join(tasks, tid, "stat"));
    return { tid: Number(tid), name: stat[2] ?? "", state: stat[3] ?? "", policy: Number(stat[41]) };
  });
}

/** The thread of a daemon that carries packets; the first, where there are two. */
export function workerOf(pid: number): Thread {
  const worker = threadsOf(pid).find(({ name }) => name === "weft-worker");
  if (worker === undefined) throw new Error(`process ${pid} has no worker`);
  return worker;
}

/** Stops every thread of a program, until SIGCONT. */
export async function freeze(program: Program, onCleanup: OnCleanup): Promise<void> {
  onCleanup(() => program.signal("SIGCONT"));
  program.signal("SIGSTOP");
  await until("every thread stands still", () =>
    threadsOf(program.pid).every(({ state }) => state === "T") ? true : null,
  );
}
