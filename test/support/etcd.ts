/**
 * A real etcd process for a test: its own ports and data directory, on loopback or inside a network namespace, gone
 * with the test. It is spoken to with etcdctl, so that what weft writes is seen through other eyes.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What of AVA's `t` is needed. */
export interface Teardown {
  teardown(task: () => void | Promise<void>): void;
}

export interface EtcdSetup {
  /** Network namespace to run in; null = the test's own. */
  readonly netns?: string | null;
  /** Address to listen on. */
  readonly listen?: string;
  /** PEM files; the server demands client certificates when `clientAuth` is set. */
  readonly tls?: { ca: string; cert: string; key: string; clientAuth: boolean } | null;
}

export interface Etcd {
  /** `http://address:port`, or https. */
  readonly endpoint: string;
  /** Runs etcdctl with these arguments and returns its output. */
  ctl(...args: string[]): Promise<string>;
  put(key: string, value: string): Promise<void>;
  /** Null when there is no such key. */
  get(key: string): Promise<string | null>;
  /** Keys that begin with `prefix`, ascending. */
  keys(prefix: string): Promise<string[]>;
  del(key: string): Promise<void>;
  /** Ends the process; its data stays. */
  stop(): Promise<void>;
  /** Starts it again on the same data and ports; resolves when it serves. */
  start(): Promise<void>;
  /** Freezes and thaws the process. */
  signal(name: "SIGSTOP" | "SIGCONT"): void;
}

/** Starts etcd and resolves when it serves. */
export async function startEtcd(t: Teardown, setup: EtcdSetup = {}): Promise<Etcd> {
  const { netns = null, listen = "127.0.0.1", tls = null } = setup;
  const dir = await mkdtemp(join(tmpdir(), "weft-etcd-"));
  const [clientPort, peerPort] = await freePorts(listen, netns);
  const scheme = tls === null ? "http" : "https";
  const host = listen.includes(":") ? `[${listen}]` : listen;
  const endpoint = `${scheme}://${host}:${clientPort}`;
  const peerUrl = `http://${host}:${peerPort}`;
  const inNamespace = (command: string, args: string[]): [string, string[]] =>
    netns === null ? [command, args] : ["ip", ["netns", "exec", netns, command, ...args]];
  const serverArgs = [
    ...["--name", "weft-test", "--data-dir", join(dir, "data")],
    ...["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint],
    ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
    ...["--initial-cluster", `weft-test=${peerUrl}`, "--logger", "zap", "--log-level", "error"],
    ...(tls === null ? [] : ["--cert-file", tls.cert, "--key-file", tls.key]),
    ...(tls?.clientAuth === true ? ["--client-cert-auth", "--trusted-ca-file", tls.ca] : []),
  ];
  const ctlArgs = [
    `--endpoints=${endpoint}`,
    ...(tls === null ? [] : [`--cacert=${tls.ca}`, `--cert=${tls.cert}`, `--key=${tls.key}`]),
  ];
  let child: ChildProcess | null = null;

  const stop = async (kill: "SIGTERM" | "SIGKILL"): Promise<void> => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGCONT");
    child.kill(kill);
    await gone;
  };
  t.teardown(async () => {
    await stop("SIGKILL");
    await rm(dir, { recursive: true, force: true });
  });

  const etcd: Etcd = {
    endpoint,
    async ctl(...args) {
      const { stdout } = await run(...inNamespace("etcdctl", [...ctlArgs, ...args]), {
        env: { ...process.env, ETCDCTL_API: "3" },
      });
      return stdout.trimEnd();
    },
    async put(key, value) {
      await etcd.ctl("put", "--", key, value);
    },
    async get(key) {
      const text = await etcd.ctl("get", "--print-value-only", key);
      return text === "" ? null : text;
    },
    async keys(prefix) {
      const text = await etcd.ctl("get", "--prefix", "--keys-only", prefix);
      return text.split("\n").filter((line) => line !== "");
    },
    async del(key) {
      await etcd.ctl("del", key);
    },
    stop: () => stop("SIGTERM"),
    async start() {
      child = spawn(...inNamespace("etcd", serverArgs), { stdio: "ignore" });
      const started = child;
      for (let tries = 1; ; tries++) {
        if (started.exitCode !== null) throw new Error(`etcd ended with exit code ${started.exitCode}`);
        try {
          await run(...inNamespace("etcdctl", [...ctlArgs, "--command-timeout=2s", "endpoint", "status"]), {
            env: { ...process.env, ETCDCTL_API: "3" },
          });
          return;
        } catch (error) {
          if (tries === 20) throw error;
        }
      }
    },
    signal(name) {
      child?.kill(name);
    },
  };
  await etcd.start();
  return etcd;
}

/** Two ports that nobody uses; inside a namespace of the test's own any will do. */
async function freePorts(host: string, netns: string | null): Promise<[number, number]> {
  if (netns !== null) return [2379, 2380];
  const servers = [createServer(), createServer()];
  const ports = await Promise.all(
    servers.map(async (server) => {
      server.listen(0, host);
      await once(server, "listening");
      const address = server.address();
      return typeof address === "object" && address !== null ? address.port : 0;
    }),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return [ports[0] ?? 0, ports[1] ?? 0];
}
