/**
 * Network namespaces: the hosts, pods and wires of the tests. A namespace has a name that no other run uses; its
 * cleanup ends the processes that still live in it and removes it, also when the test process is told to end.
 */
import { spawnSync } from "node:child_process";
import { atExit, type OnCleanup, Program, run, type RunOptions, type RunResult, tryRun } from "./process.js";

let created = 0;

export class Namespace {
  private constructor(
    readonly name: string,
    readonly onCleanup: OnCleanup,
  ) {}

  /** Makes a namespace with its loopback up, and without waiting for duplicate address detection. */
  static async create(label: string, onCleanup: OnCleanup): Promise<Namespace> {
    const name = `weft-${process.pid}-${++created}-${label}`;
    await run("ip", ["netns", "add", name]);
    const cancel = atExit(() => removeNow(name));
    onCleanup(() => {
      removeNow(name);
      cancel();
    });
    const namespace = new Namespace(name, onCleanup);
    await namespace.ip("link set lo up");
    await namespace.sysctl({
      "net.ipv6.conf.all.accept_dad": 0,
      "net.ipv6.conf.default.accept_dad": 0,
      "net.ipv6.conf.default.accept_ra": 0,
    });
    return namespace;
  }

  /** Runs `ip` commands (without the word `ip`), all in one process; rejects at the first that fails. */
  async ip(...commands: string[]): Promise<void> {
    await run("ip", ["-n", this.name, "-batch", "-"], { input: `${commands.join("\n")}\n` });
  }

  async sysctl(settings: Readonly<Record<string, string | number>>): Promise<void> {
    await this.run("sysctl", ["-qw", ...Object.entries(settings).map(([key, value]) => `${key}=${value}`)]);
  }

  /** Loads nftables rules. The program by its path: npx may find a package's that has the same name. */
  async nft(rules: string): Promise<void> {
    await this.run("/usr/sbin/nft", ["-f", "-"], { input: rules });
  }

  /** The command line that runs `command` in here, for people and for programs that take one. */
  exec(command: string, args: readonly string[] = []): [string, ...string[]] {
    return ["ip", "netns", "exec", this.name, command, ...args];
  }

  /** Runs a program in here that must succeed; returns its standard output. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<string> {
    return run("ip", ["netns", "exec", this.name, command, ...args], options);
  }

  /** Runs a program in here to its end, whatever its exit code. */
  tryRun(command: string, args: readonly string[], options?: RunOptions): Promise<RunResult> {
    return tryRun("ip", ["netns", "exec", this.name, command, ...args], options);
  }

  /** Starts a program in here; it ends with the namespace's owner at the latest. */
  start(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): Program {
    return new Program(this.exec(command, args), this.onCleanup, env);
  }
}

/** Joins two namespaces by a cable (a veth pair), both ends up. */
export async function connect(
  a: Namespace,
  nameInA: string,
  b: Namespace,
  nameInB: string,
  mtu: number,
): Promise<void> {
  const ends = `name ${nameInA} netns ${a.name} mtu ${mtu} type veth peer name ${nameInB} netns ${b.name} mtu ${mtu}`;
  await run("ip", ["link", "add", ...ends.split(" ")]);
  await a.ip(`link set ${nameInA} up`);
  await b.ip(`link set ${nameInB} up`);
}

/** Ends what runs in a namespace and removes it. Synchronous: it must also work while this process is ending. */
function removeNow(name: string): void {
  const pids = spawnSync("ip", ["netns", "pids", name], { encoding: "utf8" }).stdout.split("\n");
  for (const pid of pids.map(Number).filter((pid) => pid > 1 && pid !== process.pid)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself meanwhile.
    }
  }
  spawnSync("ip", ["netns", "del", name]);
}
