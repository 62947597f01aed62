/**
 * A Debian machine with a real systemd as PID 1: a container of systemd-nspawn that boots in the network namespace of a
 * host of a bed, from a copy-on-write view of a root file system that debootstrap made once. A reboot keeps what was
 * written; the end of the test keeps nothing.
 *
 *     root (cached) + changes ── overlay ── systemd-nspawn --boot ── systemd ── weftd.service
 *
 * The root is kept in WEFT_MACHINES (/var/cache/weft-machines), outside of everything else.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Namespace } from "./netns.js";
import {
  atExit,
  type OnCleanup,
  Program,
  run,
  type RunResult,
  temporaryDirectory,
  tryRun,
  until,
} from "./process.js";

const cache = process.env["WEFT_MACHINES"] ?? "/var/cache/weft-machines";
const packages = ["systemd", "systemd-sysv", "dbus", "libstdc++6", "iproute2", "procps", "nftables"];
const project = fileURLToPath(new URL("../../../", import.meta.url));

/** Where npm puts global packages on Debian. */
const INSTALLED = "usr/lib/node_modules/weftd";

/** How systemd-nspawn says with --keep-unit that its machine wants to boot again. */
const REBOOT = 133;

let groupsMade = 0;

/**
 * Control groups for a machine, where no service manager of this host would give it one: in the hierarchies that
 * systemd itself uses. None where there is one.
 */
async function ownGroups(onCleanup: OnCleanup): Promise<string[]> {
  if (existsSync("/run/systemd/system")) return [];
  const name = `weft-machine-${process.pid}-${++groupsMade}`;
  const mounts = ["systemd", "unified", "."].map((mount) => join("/sys/fs/cgroup", mount));
  const groups = mounts
    .filter((mount) => existsSync(join(mount, "cgroup.procs")))
    .map((mount) => join(mount, name));
  for (const group of groups) {
    await mkdir(group);
    onCleanup(() => void spawnSync("find", [group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]));
  }
  return groups;
}

/** The root file system, made if it is not there yet. Needs Debian's debootstrap and its archive. */
async function baseRoot(): Promise<string> {
  const base = join(cache, "bookworm");
  if (existsSync(base)) return base;
  const unfinished = `${base}.${process.pid}`;
  await mkdir(unfinished, { recursive: true });
  const args = ["--variant=minbase", `--include=${packages.join(",")}`, "bookworm", unfinished];
  await run("debootstrap", args, { timeoutMs: 600_000 });
  // A test without a network has no use for what these would do.
  for (const timer of ["apt-daily.timer", "apt-daily-upgrade.timer"]) {
    await symlink("/dev/null", join(unfinished, "etc/systemd/system", timer));
  }
  await rename(unfinished, base);
  return base;
}

/** A process of a machine. */
export interface Process {
  /** Its number out here, and in the machine. */
  readonly pid: number;
  readonly inside: number;
  readonly command: string;
}

/** Null for a process of another PID namespace. Rejects when it has ended meanwhile. */
async function describe(pid: string, namespace: string): Promise<Process | null> {
  if ((await readlink(`/proc/${pid}/ns/pid`)) !== namespace) return null;
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const command = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").join(" ").trim();
  return { pid: Number(pid), inside: Number(/^NSpid:.*\s(\d+)$/m.exec(status)?.[1]), command };
}

export class Machine {
  #program: Program | null = null;

  private constructor(
    /** Its root file system, as it sees it but for what it mounts itself. */
    readonly root: string,
    private readonly ns: Namespace,
    private readonly onCleanup: OnCleanup,
  ) {}

  /** Makes a machine that will live in a network namespace; it is off. */
  static async create(ns: Namespace, onCleanup: OnCleanup): Promise<Machine> {
    for (const program of ["debootstrap", "systemd-nspawn"]) {
      const paths = (process.env["PATH"] ?? "").split(":");
      if (!paths.some((path) => existsSync(join(path, program))))
        throw new Error(`${program} is missing: apt-get install debootstrap systemd-container`);
    }
    const base = await baseRoot();
    const directory = await temporaryDirectory(onCleanup);
    const [changes, work, root] = ["changes", "work", "root"].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    for (const path of [changes, work, root]) await mkdir(path);
    await run("mount", [
      ...["-t", "overlay", "overlay", "-o"],
      ...[`lowerdir=${base},upperdir=${changes},workdir=${work}`, root],
    ]);
    // Lazily: at the end of a killed test, what ran in there may take a moment to be gone.
    const unmount = (): void => void spawnSync("umount", ["--lazy", root]);
    const cancel = atExit(unmount);
    onCleanup(() => {
      unmount();
      cancel();
    });
    return new Machine(root, ns, onCleanup);
  }

  /** Puts the project there as `npm install --global` would, under a version of its own if one is given. */
  async install(version: string | null = null): Promise<void> {
    const to = join(this.root, INSTALLED);
    await rm(to, { recursive: true, force: true });
    for (const part of ["dist/src", "src/etcd/proto", "systemd", "native/build/Release/weft.node"]) {
      await mkdir(dirname(join(to, part)), { recursive: true });
      await cp(join(project, part), join(to, part), { recursive: true });
    }
    const lock = JSON.parse(await readFile(join(project, "package-lock.json"), "utf8")) as {
      readonly packages: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    };
    for (const [path, flags] of Object.entries(lock.packages)) {
      const needed = !["dev", "devOptional", "optional", "peer"].some((flag) => flags[flag] === true);
      // A package inside of another one comes with it.
      if (!needed || path === "" || path.includes("/node_modules/")) continue;
      await cp(join(project, path), join(to, path), { recursive: true });
    }
    const description = JSON.parse(await readFile(join(project, "package.json"), "utf8")) as {
      version: string;
    };
    await writeFile(
      join(to, "package.json"),
      JSON.stringify({ ...description, version: version ?? description.version }),
    );
    for (const [name, file] of [
      ["weft", "weft.js"],
      ["weftd", "weftd.cjs"],
    ] as const) {
      const link = join(this.root, "usr/bin", name);
      await rm(link, { force: true });
      await symlink(`../lib/node_modules/weftd/dist/src/${file}`, link);
      await run("chmod", ["+x", join(to, `dist/src/${file}`)]);
    }
  }

  /** Writes a file of the machine. */
  async write(path: string, text: string): Promise<void> {
    await mkdir(dirname(join(this.root, path)), { recursive: true });
    await writeFile(join(this.root, path), text);
  }

  /** Switches it on, and waits until systemd has started what it has to. */
  async boot(): Promise<void> {
    const nspawn = [
      ...["systemd-nspawn", "--boot", "--quiet", "--register=no", "--link-journal=no", "--console=pipe"],
      ...[`--directory=${this.root}`, `--network-namespace-path=/run/netns/${this.ns.name}`],
      ...["--capability=CAP_NET_ADMIN", "--bind=/dev/net/tun", `--bind-ro=${process.execPath}:/usr/bin/node`],
    ];
    const groups = await ownGroups(this.onCleanup);
    if (groups.length > 0) nspawn.push("--keep-unit");
    const enter = 'for group in $0; do echo $$ > "$group/cgroup.procs"; done; exec "$@"';
    this.#program = new Program(["sh", "-c", enter, groups.join(" "), ...nspawn], this.onCleanup);
    // A machine outlives an nspawn that is killed.
    const cancel = atExit(() => {
      const leader = this.leader();
      if (leader !== null) process.kill(leader, "SIGKILL");
    });
    this.onCleanup(async () => {
      await this.off();
      cancel();
    });
    await this.booted();
  }

  /** Waits until systemd says that all is started, whatever failed. */
  async booted(): Promise<void> {
    await until(
      "a booted machine",
      async () => {
        if (this.#program?.exit !== null) throw new Error(this.#program?.describe() ?? "it is off");
        if (this.leader() === null) return null;
        const { stdout } = await this.tryRun("systemctl", ["is-system-running"]);
        return /^(running|degraded)/.test(stdout) ? true : null;
      },
      60_000,
    );
  }

  /** Reboots, and waits until it is up again. */
  async reboot(): Promise<void> {
    const program = this.#program;
    if (program === null) throw new Error("the machine is off");
    await this.tryRun("systemctl", ["reboot"]);
    const { code } = await program.exited;
    if (code !== REBOOT) throw new Error(`no reboot: ${program.describe()}`);
    await this.boot();
  }

  /** Switches it off, in good order if that does not take long. */
  async off(): Promise<void> {
    await this.#program?.stop("SIGTERM", 30_000);
  }

  /** Runs a program of the machine, inside, that must succeed. */
  async run(command: string, args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryRun(command, args);
    if (code !== 0) throw new Error(`${command} ${args.join(" ")} → ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  tryRun(command: string, args: readonly string[]): Promise<RunResult> {
    const leader = this.leader();
    if (leader === null) throw new Error("the machine is off");
    return tryRun("nsenter", ["--all", `--target=${leader}`, command, ...args], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    });
  }

  /** Its processes whose command line matches. */
  async processes(pattern: RegExp): Promise<Process[]> {
    const leader = this.leader();
    const own = await readlink(`/proc/${leader ?? 0}/ns/pid`);
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    const found = await Promise.all(pids.map((pid) => describe(pid, own).catch(() => null)));
    return found.filter((each) => each !== null).filter(({ command }) => pattern.test(command));
  }

  /** Where a directory that the machine mounted itself, like /run, is seen from outside. */
  inside(path: string): string {
    return `/proc/${this.leader() ?? 0}/root${path}`;
  }

  /** Its PID 1, by the number it has outside; null when there is none. */
  leader(): number | null {
    if (this.#program === null || this.#program.exit !== null) return null;
    const { stdout } = spawnSync("pgrep", ["--parent", String(this.#program.pid)], { encoding: "utf8" });
    const pid = Number(stdout.trim().split("\n").at(-1));
    return pid > 0 ? pid : null;
  }
}
