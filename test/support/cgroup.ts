/**
 * A control group for processes of a test: limits their CPU time or memory, on machines with cgroup v2 as on those
 * where a controller still has a hierarchy of its own (v1). The processes go back to the root when the test ends.
 */
import { existsSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { OnCleanup } from "./process.js";

const mount = "/sys/fs/cgroup";
const CPU_PERIOD_US = 100_000;

let created = 0;

export class Cgroup {
  private constructor(
    private readonly root: string,
    private readonly path: string,
    private readonly v2: boolean,
  ) {}

  /** Whether this machine lets tests limit that; containers often do not. */
  static has(controller: "cpu" | "memory"): boolean {
    const v2 = existsSync(join(mount, "cgroup.controllers"));
    return existsSync(v2 ? join(mount, "cgroup.subtree_control") : join(mount, controller, "cgroup.procs"));
  }

  static async create(controller: "cpu" | "memory", onCleanup: OnCleanup): Promise<Cgroup> {
    const v2 = existsSync(join(mount, "cgroup.controllers"));
    const root = v2 ? mount : join(mount, controller);
    if (v2) writeFileSync(join(root, "cgroup.subtree_control"), `+${controller}`);
    const cgroup = new Cgroup(root, join(root, `weft-${process.pid}-${++created}`), v2);
    await mkdir(cgroup.path);
    onCleanup(() => cgroup.remove());
    return cgroup;
  }

  add(pid: number): void {
    writeFileSync(join(this.path, "cgroup.procs"), String(pid));
  }

  /** So much of one processor. */
  limitCpu(share: number): void {
    const quota = Math.round(share * CPU_PERIOD_US);
    if (this.v2) {
      writeFileSync(join(this.path, "cpu.max"), `${quota} ${CPU_PERIOD_US}`);
    } else {
      writeFileSync(join(this.path, "cpu.cfs_period_us"), String(CPU_PERIOD_US));
      writeFileSync(join(this.path, "cpu.cfs_quota_us"), String(quota));
    }
  }

  limitMemory(bytes: number): void {
    writeFileSync(join(this.path, this.v2 ? "memory.max" : "memory.limit_in_bytes"), String(bytes));
  }

  /** Lets its processes go, and removes it; the kernel takes a moment to forget those that have ended. */
  async remove(): Promise<void> {
    if (!existsSync(this.path)) return;
    for (const pid of readFileSync(join(this.path, "cgroup.procs"), "utf8").split("\n")) {
      if (pid !== "") writeFileSync(join(this.root, "cgroup.procs"), pid);
    }
    for (let tries = 0; ; tries++) {
      try {
        rmdirSync(this.path);
        return;
      } catch (error) {
        if (tries === 50) throw error;
        await delay(20);
      }
    }
  }
}
