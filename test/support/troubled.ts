/** Daemons that a test can trouble from inside: what they are started with, and how the trouble is caused (trouble.cts). */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type OnCleanup, temporaryDirectory } from "./process.js";
import type { WeftdOptions } from "./weftd.js";

export class Troublemaker {
  private constructor(private readonly file: string) {}

  static async create(onCleanup: OnCleanup): Promise<Troublemaker> {
    return new Troublemaker(join(await temporaryDirectory(onCleanup), "trouble"));
  }

  /** What a daemon needs to be troubled, and one that takes over from it. */
  get options(): Required<Pick<WeftdOptions, "env">> {
    const load = `--require=${fileURLToPath(new URL("./trouble.cjs", import.meta.url))}`;
    return { env: { TROUBLE: this.file, NODE_OPTIONS: load } };
  }

  /** `what`: a line as trouble.cts reads it. */
  cause(pid: number, what: string): void {
    // Another daemon may be reading what it was told before.
    writeFileSync(`${this.file}.next`, what);
    renameSync(`${this.file}.next`, this.file);
    process.kill(pid, "SIGUSR2");
  }
}
