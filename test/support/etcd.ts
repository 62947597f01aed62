/**
 * A real etcd process for a test: its own ports and data directory, on loopback or inside a network namespace, gone
 * with the test. It is spoken to with etcdctl, so that what weft writes is seen through other eyes.
 */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { type OnCleanup, Program, run, temporaryDirectory, tryRun, until } from "./process.js";

export interface EtcdSetup {
  /** Network namespace to run in; null = the test's own. */
  readonly netns?: string | null;
  /** Address to listen on. */
  readonly address?: string;
  /** Paths of PEM files for https; with `clientAuth` only clients with a certificate of `ca` are served. */
  readonly tls?: {
    readonly ca: string;
    readonly cert: string;
    readonly key: string;
    readonly clientAuth: boolean;
  } | null;
}

export class Etcd {
  #server: Program | null = null;

  constructor(
    /** `http://address:port`, or https. */
    readonly endpoint: string,
    private readonly serverCommand: readonly [string, ...string[]],
    private readonly ctlCommand: readonly [string, ...string[]],
    private readonly onCleanup: OnCleanup,
  ) {}

  /** Starts the process, on the data of its last run if there was one; resolves when it serves. */
  async start(): Promise<void> {
    const server = new Program(this.serverCommand, this.onCleanup);
    this.#server = server;
    const [file, ...args] = this.ctlCommand;
    await until("etcd serves", async () => {
      if (server.exit !== null) throw new Error(server.describe());
      const { code } = await tryRun(file, [...args, "--command-timeout=1s", "endpoint", "status"]);
      return code === 0 ? true : null;
    });
  }

  /** Ends the process; its data stays. */
  async stop(): Promise<void> {
    await this.#server?.stop("SIGKILL");
  }

  /** Freezes or thaws the process. */
  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#server?.signal(name);
  }

  /** Runs etcdctl with these arguments and returns what it printed. */
  async ctl(...words: string[]): Promise<string> {
    const [file, ...args] = this.ctlCommand;
    return (await run(file, [...args, ...words])).trimEnd();
  }

  async put(key: string, value: string): Promise<void> {
    await this.ctl("put", key, value);
  }

  /** Null when there is no such key. */
  async get(key: string): Promise<string | null> {
    const text = await this.ctl("get", "--print-value-only", key);
    return text === "" ? null : text;
  }

  /** The keys that begin with `prefix`, ascending. */
  async keys(prefix: string): Promise<string[]> {
    const text = await this.ctl("get", "--prefix", "--keys-only", prefix);
    return text.split("\n").filter((line) => line !== "");
  }

  async del(key: string): Promise<void> {
    await this.ctl("del", key);
  }
}

/** Starts etcd and resolves when it serves. Another test may take a port first: then with other ports. */
export async function startEtcd(onCleanup: OnCleanup, setup: EtcdSetup = {}): Promise<Etcd> {
  for (let tries = 1; ; tries++) {
    const etcd = await prepareEtcd(onCleanup, setup);
    try {
      await etcd.start();
      return etcd;
    } catch (error) {
      if (tries === 5 || !String(error).includes("address already in use")) throw error;
    }
  }
}

async function prepareEtcd(onCleanup: OnCleanup, setup: EtcdSetup): Promise<Etcd> {
  const { netns = null, address = "127.0.0.1", tls = null } = setup;
  const directory = await temporaryDirectory(onCleanup);
  const [clientPort, peerPort] = netns === null ? await freePorts(address) : [2379, 2380];
  const host = address.includes(":") ? `[${address}]` : address;
  const endpoint = `${tls === null ? "http" : "https"}://${host}:${clientPort}`;
  const peers = `http://${host}:${peerPort}`;
  const within: readonly string[] = netns === null ? [] : ["ip", "netns", "exec", netns];
  const command = (...words: string[]): [string, ...string[]] =>
    [...within, ...words] as [string, ...string[]];
  const server = command(
    ...[
      "etcd",
      "--name",
      "test",
      "--data-dir",
      join(directory, "data"),
      "--logger",
      "zap",
      "--log-level",
      "error",
    ],
    ...["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint],
    ...[
      "--listen-peer-urls",
      peers,
      "--initial-advertise-peer-urls",
      peers,
      "--initial-cluster",
      `test=${peers}`,
    ],
    ...(tls === null ? [] : ["--cert-file", tls.cert, "--key-file", tls.key]),
    ...(tls?.clientAuth === true ? ["--client-cert-auth", "--trusted-ca-file", tls.ca] : []),
  );
  const ctl = command(
    ...["etcdctl", "--endpoints", endpoint],
    ...(tls === null ? [] : ["--cacert", tls.ca, "--cert", tls.cert, "--key", tls.key]),
  );
  return new Etcd(endpoint, server, ctl, onCleanup);
}

/**
 * Two different ports that nobody listens on, from below the range (net.ipv4.ip_local_port_range) out of which the
 * kernel gives connections theirs: one of those could take a port between this look and etcd's own.
 */
async function freePorts(address: string): Promise<[number, number]> {
  const taken = new Set<number>();
  for (let tries = 0; taken.size < 2 && tries < 100; tries++) {
    const port = randomInt(10_000, 32_000);
    const server = createServer();
    try {
      await once(server.listen(port, address), "listening");
      await once(server.close(), "close");
      taken.add(port);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    }
  }
  const [client, peer] = taken;
  if (client === undefined || peer === undefined) throw new Error(`no free ports on ${address}`);
  return [client, peer];
}
