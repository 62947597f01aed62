/**
 * The file that a node's memory of etcd is kept in: read once at the start, written after changes, at most every 2 s
 * and once more at the end. A crash leaves the old file or the new one: temporary file → fsync → rename → fsync of the
 * directory. A file that cannot be written is logged once, and tried again; the daemon does without it meanwhile.
 */
import { readFileSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Logger } from "pino";
import { formatMemory, type Memory, parseMemory } from "../lease/memory.js";
import { paced } from "./paced.js";

const PAUSE_MS = 2000;

export class MemoryFile {
  readonly #path: string;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  readonly #soon = paced(() => void this.#save(), PAUSE_MS, this.#closing.signal);
  #content: (() => Memory) | null = null;
  /** Of what is in the file. */
  #digest = "";
  #saving: Promise<void> = Promise.resolve();
  #problem: string | null = null;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** Why what is remembered cannot be written; null when it is. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Null when there is no file, or none that can be believed. */
  read(): Memory | null {
    let content: Buffer;
    try {
      content = readFileSync(this.#path);
    } catch {
      return null;
    }
    const memory = parseMemory(content);
    if (memory === null) this.#log.warn({ path: this.#path }, "damaged memory of etcd is not used");
    return memory;
  }

  /** Writes, soon, what `content` then returns. */
  write(content: () => Memory): void {
    this.#content = content;
    this.#soon();
  }

  /** Removes the file and writes it no more: the next start is a first one. */
  async forget(): Promise<void> {
    this.#closing.abort();
    this.#content = null;
    await this.#saving;
    this.#digest = "";
    await rm(this.#path, { force: true }).catch((err: unknown) => {
      this.#log.warn({ err, path: this.#path }, "memory of etcd cannot be removed");
    });
  }

  /** Writes what is yet to be written. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#save();
  }

  /** One after another; what did not change is not written again. */
  #save(): Promise<void> {
    this.#saving = this.#saving.then(async () => {
      if (this.#content === null) return;
      const { digest, text } = formatMemory(this.#content());
      if (digest === this.#digest) return;
      try {
        await replaceFile(this.#path, text);
        this.#digest = digest;
        this.#problem = null;
      } catch (err) {
        if (this.#problem === null)
          this.#log.warn({ err, path: this.#path }, "memory of etcd cannot be written");
        this.#problem = `a start without etcd would go on with old routes, the state directory is not writable: ${(err as Error).message}`;
        this.#soon();
      }
    });
    return this.#saving;
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.tmp`);
  await mkdir(directory, { recursive: true, mode: 0o755 });
  await rm(temporary, { force: true });
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const parent = await open(directory, "r");
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}
