/**
 * A `weftd` under test: started in a host's namespace, asked over its unix socket (which, being a file, is reachable
 * from every namespace), its log kept as objects. When its test ends and it still runs, its accounts must balance.
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ask } from "../../src/cli/client.js";
import type { CounterStatus, PeerStatus, RouteStatus, Status } from "../../src/observe/status.js";
import type { Namespace } from "./netns.js";
import type { PodNetwork } from "./hosts.js";
import { type Exit, type Program, until } from "./process.js";

const weftdFile = fileURLToPath(new URL("../../src/weftd.cjs", import.meta.url));

export interface WeftdOptions {
  /** Flags beside those for directories, subnet file and TUN. */
  readonly args: readonly string[];
  /** Node's own flags, like `--import=…`. */
  readonly nodeArgs?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

interface Answers {
  readonly "/status": Status;
  readonly "/peers": readonly PeerStatus[];
  readonly "/routes": readonly RouteStatus[];
  readonly "/counters": readonly CounterStatus[];
}

export class Weftd {
  readonly subnetFile: string;
  #wasReady = false;
  private constructor(
    readonly program: Program,
    /** `--run-dir`; a later daemon with the same directory is the same node, restarted. */
    readonly directory: string,
  ) {
    this.subnetFile = join(directory, "subnet.env");
  }

  /** Starts a daemon without waiting for anything; `wrapper` is a command that runs the one it is given. */
  static async launch(
    ns: Namespace,
    directory: string,
    options: WeftdOptions,
    wrapper: readonly string[] = [],
  ): Promise<Weftd> {
    await mkdir(directory, { recursive: true });
    const own = [`--run-dir=${directory}`, `--subnet-file=${join(directory, "subnet.env")}`];
    // A program that runs the one it is given, in front of every daemon: how scripts/sanitizers.sh gets them to start.
    const wrap = process.env["WEFTD_WRAPPER"];
    const node = [
      ...(wrap === undefined ? [] : [wrap]),
      process.execPath,
      "--max-semi-space-size=2", // as the service does
      ...(options.nodeArgs ?? []),
      weftdFile,
      ...own,
      ...options.args,
    ];
    const [command = "", ...args] = [...wrapper, ...node];
    const program = ns.start(command, args, { ...process.env, ...options.env });
    const weftd = new Weftd(program, directory);
    ns.onCleanup(() => (weftd.#wasReady && program.exit === null ? mustBalance(weftd) : undefined));
    return weftd;
  }

  /** Starts a daemon and waits until packets can flow; rejects with its log when it ends instead. */
  static async start(ns: Namespace, directory: string, options: WeftdOptions): Promise<Weftd> {
    const weftd = await Weftd.launch(ns, directory, options);
    await weftd.ready();
    return weftd;
  }

  async ready(timeoutMs = 20_000): Promise<Status> {
    return until(
      `readiness of ${this.program.describe()}`,
      async () => {
        if (this.program.exit !== null) throw new Error(`ended before ready: ${this.program.describe()}`);
        const status = await this.ask("/status").catch(() => null);
        if (status?.health.state !== "ready") return null;
        this.#wasReady = true;
        return status;
      },
      timeoutMs,
    );
  }

  /** One answer of the admin socket. */
  async ask<Path extends keyof Answers>(path: Path): Promise<Answers[Path]> {
    return (await ask(this.directory, "GET", path)) as Answers[Path];
  }

  /** Waits until the workers know exactly `count` peers. */
  async peers(count: number): Promise<void> {
    let last = -1;
    await until(`${count} peers`, async () => {
      last = (await this.ask("/status")).peers;
      return last === count ? true : null;
    }).catch((error: unknown) => {
      throw new Error(`${last} peers instead of ${count}: ${this.program.describe()}`, { cause: error });
    });
  }

  /** One counter's value; rejects when there is no such counter. */
  async counter(direction: "tx" | "rx", name: string): Promise<number> {
    const rows = await this.ask("/counters");
    const row = rows.find((each) => each.direction === direction && each.name === name);
    if (row === undefined) throw new RangeError(`no counter ${direction} ${name}`);
    return row.value;
  }

  /** What a CNI plugin would read. */
  async podNetwork(): Promise<PodNetwork> {
    return parsePodNetwork(await readFile(this.subnetFile, "utf8"));
  }

  stop(): Promise<Exit> {
    return this.program.stop("SIGTERM");
  }

  /** Lines of the log, parsed. */
  log(): Record<string, unknown>[] {
    return this.program.stdout
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

/** The contents of a `subnet.env`, as a CNI plugin reads them. */
export function parsePodNetwork(text: string): PodNetwork {
  const lines = text.trim().split("\n");
  const values = new Map(lines.map((line) => line.split("=", 2) as [string, string]));
  const subnet = values.get("FLANNEL_SUBNET");
  if (subnet === undefined) throw new Error(`no FLANNEL_SUBNET in ${lines.join(" ")}`);
  return {
    subnet,
    subnet6: values.get("FLANNEL_IPV6_SUBNET") ?? null,
    mtu: Number(values.get("FLANNEL_MTU")),
  };
}

/**
 * Holds a daemon to its promise that every packet that enters leaves or is counted under exactly one drop reason:
 * waits for the accounts of both directions to balance and rejects with the counters when they do not. Every test's
 * cleanup does it; to be called when traffic has stopped, where a daemon's counters end before its test.
 */
export async function mustBalance(...daemons: readonly Weftd[]): Promise<void> {
  for (const weftd of daemons) {
    let rows = await weftd.ask("/counters");
    const sum = (direction: string, ...kinds: readonly string[]): number =>
      rows
        .filter((row) => row.direction === direction && kinds.includes(row.kind))
        .reduce((total, { value }) => total + value, 0);
    const even = (direction: string): boolean =>
      sum(direction, "in") === sum(direction, "forwarded", "consumed", "drop");
    // A packet may be on its way through the worker just now.
    for (let tries = 0; !(even("tx") && even("rx")); tries++) {
      if (tries === 100) {
        const lines = rows.map(({ direction, kind, name, value }) => `${direction} ${kind} ${name} ${value}`);
        throw new Error(`packets in are not packets out plus drops:\n${lines.join("\n")}`);
      }
      rows = await weftd.ask("/counters");
    }
  }
}
