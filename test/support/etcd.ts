/**
 * Real etcd processes for a test, one or a cluster: their own ports and data directories, on loopback or inside a
 * network namespace, gone with the test. They are spoken to with etcdctl, so that what weft writes is seen through other eyes.
 */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type OnCleanup, Program, run, temporaryDirectory, tryRun, until } from "./process.js";

/** etcd's limit of operations in one transaction. */
const TXN_OPS = 128;
const GATEWAY = fileURLToPath(new URL("etcd-gateway-main.js", import.meta.url));

/** Where an etcd runs. */
export interface Place {
  /** Network namespace; null = the test's own. */
  readonly netns: string | null;
  /** Address to listen on. */
  readonly address: string;
}

const LOOPBACK: Place = { netns: null, address: "127.0.0.1" };

export interface EtcdSetup extends Partial<Place> {
  /** Paths of PEM files for https; with `clientAuth` only clients with a certificate of `ca` are served. */
  readonly tls?: {
    readonly ca: string;
    readonly cert: string;
    readonly key: string;
    readonly clientAuth: boolean;
  } | null;
  /** More flags of etcd. */
  readonly flags?: readonly string[];
}

/** Of the gateway; `at` in milliseconds of the wall clock. */
interface Answer {
  readonly ok: boolean;
  readonly text: string;
  readonly at: number;
}

export class Etcd {
  #server: Program | null = null;
  #gateway: Program | null = null;
  #asked = 0;

  constructor(
    /** `http://address:port`, or https. */
    readonly endpoint: string,
    private readonly serverCommand: readonly [string, ...string[]],
    private readonly ctlCommand: readonly [string, ...string[]],
    /** What runs a command where the server runs. */
    private readonly within: readonly string[],
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

  /** Replaces the data of the stopped process by that of a file that `etcdctl snapshot save` wrote. */
  async restore(file: string): Promise<void> {
    const [ctl, ...args] = this.ctlCommand;
    const same = ["--name", "--data-dir", "--initial-cluster", "--initial-advertise-peer-urls"].flatMap(
      (flag) => [flag, this.serverCommand[this.serverCommand.indexOf(flag) + 1] ?? ""],
    );
    await rm(same[same.indexOf("--data-dir") + 1] ?? "", { recursive: true });
    await run(ctl, [...args, "snapshot", "restore", file, ...same]);
  }

  /**
   * Puts any number of keys of any bytes, many to a transaction, and deletes those whose value is null. Not with TLS.
   * Resolves with when etcd had answered the last, in milliseconds of the wall clock.
   */
  async putAll(
    entries: readonly (readonly [key: string | Buffer, value: string | Buffer | null])[],
    opsPerTxn = TXN_OPS,
  ): Promise<number> {
    const base64 = (bytes: string | Buffer): string => Buffer.from(bytes).toString("base64");
    const bodies: object[] = [];
    for (let first = 0; first < entries.length; first += opsPerTxn) {
      const success = entries.slice(first, first + opsPerTxn).map(([key, value]) => {
        if (value === null) return { requestDeleteRange: { key: base64(key) } };
        return { requestPut: { key: base64(key), value: base64(value) } };
      });
      bodies.push({ success });
    }
    const answers = await this.#ask("/v3/kv/txn", bodies);
    return answers.at(-1)?.at ?? 0;
  }

  /** Sends requests, through a process that stays for the next ones. Rejects when one fails. */
  async #ask(path: string, bodies: readonly (object | null)[]): Promise<readonly Answer[]> {
    if (this.#gateway === null || this.#gateway.exit !== null) {
      const command = [...this.within, process.execPath, GATEWAY, this.endpoint];
      this.#gateway = new Program(command as [string, ...string[]], this.onCleanup);
      this.#asked = 0;
    }
    const gateway = this.#gateway;
    const first = this.#asked;
    const end = (this.#asked += bodies.length);
    for (const body of bodies) gateway.write(JSON.stringify({ path, body }));
    await until(`answers to ${path}`, () => (gateway.stdout.length >= end ? true : null), 60_000);
    const answers = gateway.stdout.slice(first, end).map((line) => JSON.parse(line) as Answer);
    const failed = answers.find(({ ok }) => !ok);
    if (failed !== undefined) throw new Error(failed.text);
    return answers;
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

  /** Does all of this, in the words of `etcdctl txn`, at one revision. */
  async txn(operations: string): Promise<void> {
    const [file, ...args] = this.ctlCommand;
    await run(file, [...args, "txn"], { input: `\n${operations}\n\n` });
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

  /** How many requests and streams of each gRPC method the server has seen since its start, etcdctl's too. */
  async requests(): Promise<ReadonlyMap<string, number>> {
    const [answer] = await this.#ask("/metrics", [null]);
    const rows = (answer?.text ?? "").matchAll(
      /^grpc_server_started_total\{grpc_method="(\w+)",grpc_service="etcdserverpb.+\} (\d+)$/gm,
    );
    return new Map([...rows].map(([, method = "", count]) => [method, Number(count)]));
  }
}

/** Starts etcd and resolves when it serves. */
export async function startEtcd(onCleanup: OnCleanup, setup: EtcdSetup = {}): Promise<Etcd> {
  const [etcd] = await startMembers(onCleanup, [{ ...LOOPBACK, ...setup }], setup);
  return etcd;
}

/** Starts a cluster of three, quick to elect a leader, and resolves when it has one. */
export async function startCluster(
  onCleanup: OnCleanup,
  places: readonly [Place, Place, Place] = [LOOPBACK, LOOPBACK, LOOPBACK],
): Promise<readonly [Etcd, Etcd, Etcd]> {
  const flags = ["--heartbeat-interval=50", "--election-timeout=500"];
  const [first, ...others] = await startMembers(onCleanup, places, { flags });
  await first.ctl("get", "nothing");
  return [first, ...others] as unknown as readonly [Etcd, Etcd, Etcd];
}

/** The member that leads; rejects when none does. */
export async function leaderOf(members: readonly Etcd[]): Promise<Etcd> {
  for (const member of members) {
    const [answer] = JSON.parse(await member.ctl("endpoint", "status", "-w", "json")) as [
      { Status: { leader: number; header: { member_id: number } } },
    ];
    if (answer.Status.leader === answer.Status.header.member_id) return member;
  }
  throw new Error("no member leads");
}

/** Another test may take a port first: then with other ports. */
async function startMembers(
  onCleanup: OnCleanup,
  places: readonly Place[],
  setup: EtcdSetup,
): Promise<[Etcd, ...Etcd[]]> {
  for (let tries = 1; ; tries++) {
    const members = await prepareEtcd(onCleanup, places, setup);
    const results = await Promise.allSettled(members.map((member) => member.start()));
    const failure = results.find((result) => result.status === "rejected");
    if (failure === undefined) return members as [Etcd, ...Etcd[]];
    await Promise.all(members.map((member) => member.stop()));
    if (tries === 5 || !String(failure.reason).includes("address already in use")) throw failure.reason;
  }
}

async function prepareEtcd(
  onCleanup: OnCleanup,
  places: readonly Place[],
  setup: EtcdSetup,
): Promise<Etcd[]> {
  const { tls = null, flags = [] } = setup;
  const directory = await temporaryDirectory(onCleanup);
  const free = await freePorts(LOOPBACK.address, 2 * places.filter(({ netns }) => netns === null).length);
  const ports = free.values();
  const members = places.map(({ netns, address }, index) => {
    const host = address.includes(":") ? `[${address}]` : address;
    const port = (usual: number): number => (netns === null ? (ports.next().value ?? 0) : usual);
    return {
      name: `test${index}`,
      endpoint: `${tls === null ? "http" : "https"}://${host}:${port(2379)}`,
      peers: `http://${host}:${port(2380)}`,
      within: netns === null ? [] : ["ip", "netns", "exec", netns],
    };
  });
  const cluster = members.map(({ name, peers }) => `${name}=${peers}`).join(",");
  return members.map(({ name, endpoint, peers, within }) => {
    const command = (...words: string[]): [string, ...string[]] =>
      [...within, ...words] as [string, ...string[]];
    const server = command(
      ...[
        "etcd",
        "--name",
        name,
        "--data-dir",
        join(directory, name),
        "--logger",
        "zap",
        "--log-level",
        "error",
      ],
      ...["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint],
      ...["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", cluster],
      ...(tls === null ? [] : ["--cert-file", tls.cert, "--key-file", tls.key]),
      ...(tls?.clientAuth === true ? ["--client-cert-auth", "--trusted-ca-file", tls.ca] : []),
      ...flags,
    );
    const ctl = command(
      ...["etcdctl", "--endpoints", endpoint],
      ...(tls === null ? [] : ["--cacert", tls.ca, "--cert", tls.cert, "--key", tls.key]),
    );
    return new Etcd(endpoint, server, ctl, within, onCleanup);
  });
}

/**
 * Different ports that nobody listens on, from below the range (net.ipv4.ip_local_port_range) out of which the
 * kernel gives connections theirs: one of those could take a port between this look and etcd's own.
 */
async function freePorts(address: string, count: number): Promise<readonly number[]> {
  const taken = new Set<number>();
  for (let tries = 0; taken.size < count && tries < 100; tries++) {
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
  if (taken.size < count) throw new Error(`no free ports on ${address}`);
  return [...taken];
}
