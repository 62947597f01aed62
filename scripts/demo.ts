/**
 * The demo: a small weft network on this machine, doing its main job in front of the user. Hosts are namespaces on
 * one underlay switch; one more host runs etcd. Every step that a user would do by hand is done here with the same
 * commands, and `--keep` prints them.
 *
 *     pod ─ cni0 ─ host1: weftd ──┐
 *     pod ─ cni0 ─ host2: weftd ──┤ switch ── etcd
 *     pod ─ cni0 ─ host3: weftd ──┘
 */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startEtcd } from "../test/support/etcd.js";
import { Bed, type Host, type Pod } from "../test/support/hosts.js";
import { type OnCleanup, temporaryDirectory } from "../test/support/process.js";
import { iperf, mustPing } from "../test/support/traffic.js";
import { mustBalance, Weftd } from "../test/support/weftd.js";
import { bold, dim, green, print, red, step } from "./demo-screen.js";

interface Settings {
  readonly backend: "udp" | "vxlan";
  readonly hosts: number;
  readonly keep: boolean;
}

interface Node {
  readonly host: Host;
  readonly weftd: Weftd;
  readonly pod: Pod;
}

const weftFile = fileURLToPath(new URL("../src/weft.js", import.meta.url));

/** Null when the arguments make no sense. */
function readSettings(): Settings | null {
  try {
    const { values } = parseArgs({
      options: {
        backend: { type: "string", default: "vxlan" },
        hosts: { type: "string", default: "3" },
        keep: { type: "boolean", default: false },
      },
    });
    const { backend, keep } = values;
    const hosts = /^\d+$/.test(values.hosts) ? Number(values.hosts) : 0;
    if ((backend !== "udp" && backend !== "vxlan") || hosts < 2 || hosts > 20) return null;
    return { backend, hosts, keep };
  } catch {
    return null;
  }
}

async function demonstrate(settings: Settings, onCleanup: OnCleanup): Promise<readonly Node[]> {
  const { backend, hosts } = settings;
  print(bold(`weft: ${hosts} hosts, pods behind each, ${backend} between them, etcd for the routes`));

  const bed = await step("underlay switch and hosts", () => Bed.create(onCleanup, { hosts, offloads: true }));
  const directory = await temporaryDirectory(onCleanup);
  const etcdHost = await bed.addHost();
  const etcd = await step(
    "etcd on a host of its own",
    () => startEtcd(onCleanup, { netns: etcdHost.ns.name, address: etcdHost.address }),
    ({ endpoint }) => endpoint,
  );

  const config = JSON.stringify({ Network: "10.5.0.0/16", Backend: { Type: backend } });
  await step(
    "network config, by etcdctl",
    () =>
      etcdHost.ns.run("etcdctl", ["--endpoints", etcd.endpoint, "put", "/coreos.com/network/config", config]),
    () => config,
  );

  const nodes = await step(
    "weftd on every host, a pod behind each",
    () =>
      Promise.all(
        bed.hosts.slice(0, hosts).map(async (host): Promise<Node> => {
          const args = [`--etcd-endpoints=${etcd.endpoint}`, `--node-id=host${host.index}`];
          const weftd = await Weftd.start(host.ns, join(directory, `host${host.index}`), { args });
          return { host, weftd, pod: await host.addPod(await weftd.podNetwork()) };
        }),
      ),
    (started) => {
      const addresses = started.slice(0, 4).map(({ pod }) => pod.address);
      return [...addresses, ...(hosts > 4 ? [`and ${hosts - 4} more`] : [])].join("  ");
    },
  );
  await step("every host knows every other", () =>
    Promise.all(nodes.map(({ weftd }) => weftd.peers(hosts - 1))),
  );

  await step(
    "ping between every pair of pods",
    async () => {
      const times: number[] = [];
      const pingOthers = async (from: Node): Promise<void> => {
        for (const to of nodes.filter((node) => node !== from)) {
          times.push((await mustPing(from.pod.ns, to.pod.address)).meanMs ?? NaN);
        }
      };
      await Promise.all(nodes.map(pingOthers));
      return times;
    },
    (times) =>
      `${times.length} pairs, ${Math.min(...times).toFixed(2)} to ${Math.max(...times).toFixed(2)} ms`,
  );

  const [first, second] = nodes as [Node, Node];
  for (const reverse of [false, true]) {
    const [from, to] = reverse ? [second, first] : [first, second];
    await step(
      `TCP from ${from.pod.address} to ${to.pod.address}`,
      async () => {
        const result = await iperf(first.pod.ns, second.pod.ns, second.pod.address, { seconds: 3, reverse });
        if (result.bitsPerSecond < 10e6) throw new Error(`only ${result.bitsPerSecond} bit/s`);
        return result;
      },
      ({ bitsPerSecond }) => bold(`${(bitsPerSecond / 1e9).toFixed(2)} Gb/s`),
    );
  }
  await step("every packet accounted for", () => mustBalance(...nodes.map(({ weftd }) => weftd)));

  print();
  print(dim(`$ weft status                         # on host1`));
  print(
    await first.host.ns.run(process.execPath, [weftFile, "status", `--run-dir=${first.weftd.directory}`]),
  );
  return nodes;
}

function printWhatToTry(nodes: readonly Node[]): void {
  const [first, second] = nodes as [Node, Node];
  const weft = `--run-dir=${first.weftd.directory}`;
  const on = (name: string, command: string): void => print(`  ip netns exec ${name} ${command}`);
  print(bold("Everything stays up. To try, as root:"));
  on(first.pod.ns.name, `ping ${second.pod.address}`);
  on(first.pod.ns.name, `traceroute -n ${second.pod.address}`);
  on(first.pod.ns.name, "ping 10.5.255.1    # a subnet that nobody has");
  on(second.pod.ns.name, "iperf3 -s -1");
  on(first.pod.ns.name, `iperf3 -c ${second.pod.address}`);
  for (const verb of ["status", "peers", "routes", "counters"]) {
    on(first.host.ns.name, `node ${weftFile} ${verb} ${weft}`);
  }
  on(first.host.ns.name, "tcpdump -ni eth0 udp");
  print(bold("To take it down:"));
  print(`  kill ${process.pid}`);
}

/** Runs the demo and takes it down again, except what `--keep` keeps. Returns the exit code. */
async function main(settings: Settings): Promise<number> {
  const cleanups: (() => Promise<void> | void)[] = [];
  const cleanUp = async (): Promise<void> => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  };
  try {
    const nodes = await demonstrate(settings, (cleanup) => cleanups.push(cleanup));
    print(green(bold("Everything passed.")));
    if (settings.keep) {
      printWhatToTry(nodes);
      return 0;
    }
  } catch (error) {
    print(red(bold("Failed: ")) + (error instanceof Error ? error.message : String(error)));
    await cleanUp();
    return 1;
  }
  await step("everything taken down", cleanUp);
  return 0;
}

/**
 * `--keep`: the network belongs to the process that built it, so that one signal takes it down. That process runs in
 * the background; this one shows what it prints until it has finished or failed.
 */
function keepInBackground(): void {
  const keeper = spawn(process.execPath, process.argv.slice(1), {
    detached: true,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  keeper.on("message", () => process.exit(0));
  keeper.on("close", (code) => process.exit(code ?? 1));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => keeper.kill("SIGTERM"));
}

/** The keeper's last word: nothing of the terminal, or of a pipe that someone reads to its end, stays open. */
function letGo(): void {
  for (const descriptor of [1, 2]) {
    closeSync(descriptor);
    openSync("/dev/null", "w"); // takes the lowest free number, the one just closed
  }
  process.send?.("up");
}

const settings = readSettings();
if (settings === null) {
  process.stderr.write("demo: these arguments make no sense; `npm run demo -- --help` lists them\n");
  process.exitCode = 2;
} else if (settings.keep && process.send === undefined) {
  keepInBackground();
} else {
  const code = await main(settings);
  if (settings.keep && code === 0) letGo();
  else process.exit(code);
}
