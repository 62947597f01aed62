/**
 * Measures the per-packet loop in TypeScript and in C11 side by side, in under a minute:
 *
 *   compute      the work alone, on packets in memory
 *   throughput   one inner packet in, one VXLAN datagram out, as many as go
 *   delay        the same at 5 000 packets a second
 *
 *     traffic (namespace "peers") ── veth ── forwarder (namespace "host"): a relay, or weftd
 *
 * Rounds of the candidates are interleaved, so that what else the machine does meets all of them. Writes the samples
 * to bench/results/ and prints the tables; `--markdown FILE` prints the tables of an earlier run instead.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect, Namespace } from "../../test/support/netns.js";
import { type OnCleanup, run, temporaryDirectory } from "../../test/support/process.js";
import { Troublemaker } from "../../test/support/troubled.js";
import { Weftd } from "../../test/support/weftd.js";
import { readEnvironment, root } from "../environment.js";
import { compute, type ComputeResult } from "./compute.js";
import {
  type ComputeSample,
  type DelaySample,
  markdown,
  type Results,
  type ThroughputSample,
} from "./results.js";

const ROUNDS = 5;
const ROUND_MS = 500;
const BYTES = 1400;
const HOST = "192.0.2.2";
const PEER = "192.0.2.1";
const REMOTE_POD = "10.5.1.9";
const LEASES = 500;

const forwardLoop = join(root, "native/out/forward-loop");
const traffic = join(root, "native/out/traffic");
const relayFile = fileURLToPath(new URL("relay.js", import.meta.url));

/** Something that forwards, and how traffic reaches it. */
interface Candidate {
  readonly name: string;
  /** As traffic.c names it. */
  readonly way: "relay" | "route" | "super";
  readonly address: string;
  readonly port: number;
  readonly pid: number;
}

async function measureCompute(): Promise<ComputeSample[]> {
  const samples: ComputeSample[] = [];
  for (const bytes of [64, BYTES]) {
    compute(bytes, ROUND_MS); // the JIT's warm-up
    for (let round = 0; round < ROUNDS; round++) {
      const typescript = compute(bytes, ROUND_MS / 2);
      const output = await run(forwardLoop, ["compute", `${bytes}`, `${ROUND_MS / 2}`]);
      const c = JSON.parse(output) as ComputeResult;
      if (typescript.datagram !== c.datagram) throw new Error("the two loops do not do the same");
      samples.push({ language: "TypeScript", bytes, nanoseconds: typescript.nanoseconds });
      samples.push({ language: "C11", bytes, nanoseconds: c.nanoseconds });
    }
  }
  return samples;
}

/** The forwarders' namespace and the one where traffic comes from and returns to. */
class Bench {
  #port = 9000;

  private constructor(
    private readonly peers: Namespace,
    private readonly host: Namespace,
    private readonly onCleanup: OnCleanup,
  ) {}

  static async create(onCleanup: OnCleanup): Promise<Bench> {
    const peers = await Namespace.create("peers", onCleanup);
    const host = await Namespace.create("host", onCleanup);
    await connect(peers, "eth0", host, "eth0", 1500);
    await peers.ip(`addr add ${PEER}/24 dev eth0`, `route add 10.5.1.0/24 via ${HOST}`);
    await host.ip(`addr add ${HOST}/24 dev eth0`, `route add default via ${PEER}`);
    await host.sysctl({ "net.ipv4.ip_forward": 1 });
    return new Bench(peers, host, onCleanup);
  }

  /** Starts a relay that takes a port and the sink's address as arguments, between `before` and `after`. */
  async startRelay(name: string, before: readonly string[], after: readonly string[]): Promise<Candidate> {
    const port = ++this.#port;
    const [command = "", ...args] = [...before, `${port}`, PEER, ...after];
    const program = this.host.start(command, args);
    await program.line(/^ready$/);
    return { name, way: "relay", address: HOST, port, pid: program.pid };
  }

  /** The daemon itself; its packets come through the TUN. */
  async startWeftd(troublemaker: Troublemaker): Promise<Weftd> {
    const directory = await temporaryDirectory(this.onCleanup);
    const nodes = [
      { name: "host", address: HOST, subnets: ["10.5.2.0/24"] },
      { name: "peers", address: PEER, subnets: ["10.5.1.0/24"] },
    ];
    const file = join(directory, "peers.yaml");
    writeFileSync(file, JSON.stringify({ network: "10.5.0.0/16", backend: { type: "vxlan" }, nodes }));
    const options = { args: [`--registry=file:${file}`], ...troublemaker.options };
    return Weftd.start(this.host, directory, options);
  }

  async throughput(candidate: Candidate): Promise<ThroughputSample> {
    const { name, pid } = candidate;
    return {
      way: name,
      ...(await this.#traffic<Omit<ThroughputSample, "way">>("flood", candidate, `${pid}`)),
    };
  }

  async delay(candidate: Candidate): Promise<DelaySample> {
    return { way: candidate.name, ...(await this.#traffic<Omit<DelaySample, "way">>("probe", candidate)) };
  }

  async #traffic<T>(verb: string, { way, address, port }: Candidate, ...more: string[]): Promise<T> {
    const args = [verb, way, address, `${port}`, `${BYTES}`, `${ROUND_MS}`, ...more];
    return JSON.parse(await this.peers.run(traffic, args)) as T;
  }
}

/** `measure` for each candidate in turn, again and again. */
async function interleave<T>(
  candidates: readonly Candidate[],
  measure: (candidate: Candidate) => Promise<T>,
): Promise<T[]> {
  const samples: T[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const candidate of candidates) samples.push(await measure(candidate));
  }
  return samples;
}

async function measure(onCleanup: OnCleanup): Promise<Results> {
  const environment = await readEnvironment();
  const samples = await measureCompute();
  const bench = await Bench.create(onCleanup);
  const node = [process.execPath, relayFile];
  const typescript = await bench.startRelay("TypeScript, node:dgram", node, []);
  const busy = await bench.startRelay(`TypeScript, also decoding ${LEASES} leases 4 times a second`, node, [
    `${LEASES}`,
  ]);
  const single = await bench.startRelay("C11, one packet per system call", [forwardLoop, "relay"], ["1"]);
  const batch = await bench.startRelay("C11, up to 32 per system call", [forwardLoop, "relay"], ["32"]);
  const troublemaker = await Troublemaker.create(onCleanup);
  const weftd = await bench.startWeftd(troublemaker);
  const daemon = { address: REMOTE_POD, port: 9, pid: weftd.program.pid } as const;
  const plain: Candidate = { ...daemon, name: "weftd, from its TUN", way: "route" };
  const large: Candidate = { ...daemon, name: "weftd, from its TUN, super-packets", way: "super" };

  const throughput = await interleave([typescript, single, batch, plain, large], (each) =>
    bench.throughput(each),
  );
  const delay = await interleave([typescript, busy, single, plain], (each) => bench.delay(each));
  troublemaker.cause(weftd.program.pid, "block 10000");
  await weftd.program.line(/^loop blocked$/);
  const blocked = { ...plain, name: "weftd, its event loop blocked" };
  delay.push(...(await interleave([blocked], (each) => bench.delay(each))));
  return {
    date: new Date().toISOString().slice(0, 10),
    environment,
    bytes: BYTES,
    compute: samples,
    throughput,
    delay,
  };
}

async function runAll(): Promise<Results> {
  const cleanups: Parameters<OnCleanup>[0][] = [];
  try {
    return await measure((cleanup) => cleanups.push(cleanup));
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}

const [option, earlier] = process.argv.slice(2);
if (option === "--markdown" && earlier !== undefined) {
  console.log(markdown(JSON.parse(readFileSync(earlier, "utf8")) as Results));
} else {
  const results = await runAll();
  const directory = join(root, "bench/results");
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `loop-${results.date}.json`);
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  console.log(`${markdown(results)}\n\nsamples: ${file}`);
}
