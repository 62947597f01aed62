/**
 * H5, H6, H29: the watchdog. It is fed only while the event loop and every worker move: a worker that hangs and a loop
 * that is blocked end the process, which costs no packet; a daemon that is merely slow lives.
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { Cgroup } from "../support/cgroup.js";
import { recordFinding } from "../support/findings.js";
import { Bed } from "../support/hosts.js";
import { Overlay } from "../support/overlay.js";
import { Program, until, workerOf } from "../support/process.js";
import { Service } from "../support/service.js";
import { Troublemaker } from "../support/troubled.js";
import type { WeftdOptions } from "../support/weftd.js";

const WATCHDOG_S = 3;

/** Stops one thread and keeps it stopped, as a worker that waits forever would be: ptrace(2), by thread id. */
const stopThread = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
tid = int(sys.argv[1])
PTRACE_ATTACH = 16
if libc.ptrace(PTRACE_ATTACH, tid, 0, 0) != 0: sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(tid, 0x40000000)
print("stopped", flush=True)
# It ends only when its tracer has heard of its end.
while True:
    _, status = os.waitpid(tid, 0x40000000)
    if os.WIFEXITED(status) or os.WIFSIGNALED(status): break
`;

async function start(t: ExecutionContext, options: Partial<WeftdOptions> = {}): Promise<Service> {
  t.timeout(60_000);
  const bed = await Bed.create(t.teardown, { hosts: 1 });
  const overlay = await Overlay.create(t.teardown, { format: "udp" });
  await overlay.addToFile(bed.host(1));
  return Service.start(bed.host(1).ns, join(overlay.directory, "host1"), {
    ...options,
    args: [`--registry=file:${overlay.peersFile}`],
    watchdogSeconds: WATCHDOG_S,
  });
}

/** Waits for the next daemon, and says how long that took. */
async function replaced(t: ExecutionContext, service: Service, pid: number, row: string, fault: string) {
  const begin = performance.now();
  await until("the watchdog", () => (service.lines(/^watchdog$/).length > 0 ? true : null), 15_000);
  await service.successor(pid);
  const ms = Math.round(performance.now() - begin);
  const measured = `${ms} ms with WatchdogSec=${WATCHDOG_S}`;
  recordFinding({ row, fault, test: "test/netns/watchdog.test.ts", bound: "restart within 10 s", measured });
  t.true(ms < 10_000, measured);
}

test("H6: a hung worker leads to a restart", async (t) => {
  const service = await start(t);
  const { pid } = service;
  const debuggerProgram = new Program(["python3", "-c", stopThread, String(workerOf(pid).tid)], t.teardown);
  await debuggerProgram.line(/^stopped$/);
  await replaced(t, service, pid, "H6", "a worker hangs");
});

test("H5: a blocked event loop leads to a restart", async (t) => {
  const troublemaker = await Troublemaker.create(t.teardown);
  const service = await start(t, troublemaker.options);
  const { pid } = service;
  troublemaker.cause(pid, "block 60000");
  await replaced(t, service, pid, "H5", "the event loop is blocked");
});

(Cgroup.has("cpu") ? test : test.skip)(
  "H29: a tenth of a processor is enough for the watchdog",
  async (t) => {
    // Threads of real-time priority would not be bounded, and some kernels refuse them in such a group.
    const service = await start(t, { env: { WEFT_REALTIME: "false" } });
    const { pid } = service;
    const cgroup = await Cgroup.create("cpu", t.teardown);
    cgroup.limitCpu(0.1);
    cgroup.add(pid);
    // Time has to pass: more than would end a daemon that is not heard of.
    await delay(2 * WATCHDOG_S * 1000);
    t.deepEqual(service.lines(/^watchdog$/), []);
    t.is((await service.weftd.ask("/status")).pid, pid);
  },
);
