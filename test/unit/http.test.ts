/** The health server on a real TCP port of the loopback. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import test, { type ExecutionContext } from "ava";
import { WeftError } from "../../src/config/errors.js";
import { type Ip, parseIp } from "../../src/net/ip.js";
import { healthRoutes, httpServer, startHealthServer } from "../../src/observe/http.js";
import type { HealthState } from "../../src/observe/status.js";
import { COUNTERS, PEERS, STATUS } from "../support/status.js";

const LOOPBACK = parseIp("127.0.0.1") as Ip;

function source(state: HealthState, reasons: readonly string[] = []) {
  return {
    status: () => ({ ...STATUS, health: { state, reasons } }),
    peers: () => PEERS,
    counters: () => COUNTERS,
  };
}

async function serve(t: ExecutionContext, ...health: Parameters<typeof source>): Promise<string> {
  const server = httpServer(healthRoutes(source(...health)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("/readyz asks whether packets flow, /healthz whether the process is worth keeping", async (t) => {
  const expected: Record<HealthState, [healthz: number, readyz: number]> = {
    starting: [200, 503],
    ready: [200, 200],
    degraded: [200, 200],
    failed: [503, 503],
  };
  for (const [state, codes] of Object.entries(expected)) {
    const url = await serve(t, state as HealthState, ["first reason", "second reason"]);
    const answers = [await fetch(`${url}/healthz`), await fetch(`${url}/readyz`)];
    t.deepEqual(
      answers.map(({ status }) => status),
      codes,
      state,
    );
    for (const answer of answers) t.is(await answer.text(), `${state}\nfirst reason\nsecond reason\n`);
  }
});

test("/metrics is Prometheus' text format", async (t) => {
  const answer = await fetch(`${await serve(t, "ready")}/metrics?x=1`);
  t.is(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  t.regex(await answer.text(), /^# HELP weft_info /);
});

test("other paths and methods are refused, and say what there is", async (t) => {
  const url = await serve(t, "ready");
  const missing = await fetch(`${url}/constructor`);
  t.is(missing.status, 404);
  t.regex(await missing.text(), /GET \/readyz/);
  t.is((await fetch(`${url}/status`)).status, 404, "the admin's answers are not public");
  t.is((await fetch(`${url}/metrics`, { method: "POST", body: "x" })).status, 405);
  t.is((await fetch(`${url}/metrics`, { method: "HEAD" })).status, 200);
});

test("a port in use and a foreign address are explained", async (t) => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  t.teardown(() => other.close());
  const { port } = other.address() as AddressInfo;
  const inUse = await t.throwsAsync(startHealthServer(LOOPBACK, port, source("ready")), {
    instanceOf: WeftError,
  });
  t.is(inUse.message, `--healthz-port: port ${port} of 127.0.0.1 is in use; choose another`);
  const foreign = parseIp("192.0.2.1") as Ip;
  await t.throwsAsync(startHealthServer(foreign, 0, source("ready")), {
    message: /^--healthz-ip: .*EADDRNOTAVAIL/,
  });
});
