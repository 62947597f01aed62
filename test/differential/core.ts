/**
 * The native core behind a pipe: requests go to `native/differential/main.c` in batches, and each gets a response.
 * A message is a length of four bytes and that many bytes.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { be32, type Bytes, join } from "../support/model/bytes.js";
import { type OnCleanup, run } from "../support/process.js";

/** The folder of the native code. */
export const native = fileURLToPath(new URL("../../../native", import.meta.url));

/** Builds the program and returns its path. `flock`, because test files run at once. */
export async function buildCore(): Promise<string> {
  await run("flock", [`${native}/Makefile`, "make", "--no-print-directory", "-C", native, "differential"]);
  return `${native}/out/differential`;
}

export class Core {
  /** Names of drop reasons by their number, the first of which stands for "not dropped". */
  reasons: readonly string[] = [];
  /** Names of counters in their order: "tx packets", "rx drop runt". */
  counters: readonly string[] = [];
  #unread: Buffer[] = [];
  #waiting: { readonly count: number; readonly resolve: (responses: Buffer[]) => void } | null = null;
  /** How it ended, once it has: a failed assertion, or a sanitizer's word. */
  ended: string | null = null;

  private constructor(private readonly process: ChildProcessWithoutNullStreams) {
    process.stdout.on("data", (chunk: Buffer) => {
      this.#unread.push(chunk);
      this.#settle();
    });
  }

  static async start(program: string, onCleanup: OnCleanup): Promise<Core> {
    const child = spawn(program, { stdio: "pipe" });
    const core = new Core(child);
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    child.stdin.on("error", () => undefined);
    const closed = new Promise<void>((resolve) => {
      child.on("close", (code, signal) => {
        core.ended = `the core ended with ${code ?? signal ?? ""}: ${said}`;
        core.#settle();
        resolve();
      });
    });
    onCleanup(async () => {
      child.stdin.end();
      await closed;
    });
    const [names] = await core.exchange([Buffer.from("H")]);
    const lines = (names ?? Buffer.alloc(0)).toString().trimEnd().split("\n");
    core.reasons = ["", ...lines.filter((line) => !line.includes(" "))];
    core.counters = lines.filter((line) => line.includes(" "));
    return core;
  }

  /** Sends requests, the last of which must be one that flushes the answers (H or S), and returns the responses. */
  async exchange(requests: readonly Bytes[]): Promise<Buffer[]> {
    this.#mustLive();
    const responses = new Promise<Buffer[]>((resolve) => {
      this.#waiting = { count: requests.length, resolve };
    });
    this.process.stdin.write(join(...requests.flatMap((request) => [be32(request.length), request])));
    const received = await responses;
    this.#mustLive();
    return received;
  }

  #mustLive(): void {
    if (this.ended !== null) throw new Error(this.ended);
  }

  /** Hands out the responses when there are as many as are waited for, or when there will be none. */
  #settle(): void {
    if (this.#waiting === null) return;
    const { count, resolve } = this.#waiting;
    const all =
      this.#unread.length === 1 ? (this.#unread[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#unread);
    this.#unread = [all];
    const responses: Buffer[] = [];
    let at = 0;
    while (at + 4 <= all.length && at + 4 + all.readUInt32BE(at) <= all.length) {
      const end = at + 4 + all.readUInt32BE(at);
      responses.push(all.subarray(at + 4, end));
      at = end;
    }
    if (responses.length < count && this.ended === null) return;
    this.#unread = [];
    this.#waiting = null;
    resolve(responses);
  }
}
