/**
 * The daemon in another version: a copy of the program with numbers changed, beside the one under test. What a version
 * changes besides is not there to be tested yet.
 */
import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type OnCleanup, temporaryDirectory } from "./process.js";

const project = fileURLToPath(new URL("../../../", import.meta.url));

export interface OtherVersion {
  /** Of the package. */
  readonly version: string;
  /** Of the hand-over's protocol and of the estate's file, where they differ from those under test. */
  readonly handover?: number;
  readonly estate?: number;
}

/** Makes it; returns the directory that has its `weftd.cjs` and `weft.js`. */
export async function otherVersion(
  onCleanup: OnCleanup,
  { version, handover, estate }: OtherVersion,
): Promise<string> {
  const root = await temporaryDirectory(onCleanup);
  const programs = join(root, "dist/src");
  cpSync(join(project, "dist/src"), programs, { recursive: true });
  await mkdir(join(root, "src/etcd"), { recursive: true });
  for (const part of ["native", "node_modules", "src/etcd/proto"]) {
    symlinkSync(join(project, part), join(root, part));
  }
  const description = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as object;
  writeFileSync(join(root, "package.json"), JSON.stringify({ ...description, version }));
  if (handover !== undefined) {
    replace(
      join(programs, "handover.js"),
      /const HANDOVER_VERSION = \d+;/,
      `const HANDOVER_VERSION = ${handover};`,
    );
  }
  if (estate !== undefined) {
    replace(join(programs, "dataplane/estate.cjs"), /const VERSION = \d+;/, `const VERSION = ${estate};`);
  }
  return programs;
}

function replace(path: string, what: RegExp, by: string): void {
  const text = readFileSync(path, "utf8");
  if (!what.test(text)) throw new Error(`${path} has no ${String(what)}`);
  writeFileSync(path, text.replace(what, by));
}
