/**
 * weftd as a service of a real systemd, and traffic through it both ways, between a pod behind it and one behind a
 * daemon that runs by itself.
 *
 *     pod ─ cni0 ─ host1: weftd ── wire ── host2: systemd ─ weftd.service ─ cni0 ─ pod
 *                                          (a machine in host2's network namespace)
 */
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { ask } from "../../src/cli/client.js";
import type { Status } from "../../src/observe/status.js";
import type { Etcd } from "./etcd.js";
import { EtcdBed } from "./etcd-bed.js";
import { Bed, type Pod } from "./hosts.js";
import { Ledger, type StreamAccount } from "./ledger.js";
import { Machine, type Process } from "./machine.js";
import { Overlay } from "./overlay.js";
import { type OnCleanup, until } from "./process.js";
import { mustPing } from "./traffic.js";
import { parsePodNetwork } from "./weftd.js";

const PER_SECOND = Number(process.env["WEFT_RATE"] ?? 10_000);
const LEDGER_PORT = 7000;

/** To the service, and from it. */
export type Accounts = readonly [StreamAccount, StreamAccount];

export interface Harm {
  readonly sent: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly corrupt: number;
  /** The longest time without a packet in one direction. */
  readonly silenceMs: number;
  /** Sent in a millisecond. */
  readonly perMs: number;
}

export class SystemService {
  private constructor(
    readonly machine: Machine,
    readonly pods: readonly [Pod, Pod],
    private readonly ledger: Ledger,
  ) {}

  /** Boots a machine, installs the service as its README says, and waits until pods reach each other. */
  static async start(onCleanup: OnCleanup): Promise<SystemService> {
    const bed = await Bed.create(onCleanup, { hosts: 2 });
    const overlay = await Overlay.create(onCleanup, { format: "vxlan" });
    for (const host of bed.hosts) await overlay.addToFile(host);
    const one = await overlay.startNode(bed.host(1));
    const machine = await Machine.create(bed.host(2).ns, onCleanup);
    await machine.write("/etc/weft/peers.yaml", await readFile(overlay.peersFile, "utf8"));
    return SystemService.install(onCleanup, machine, bed, one.pod, "WEFT_REGISTRY=file:/etc/weft/peers.yaml");
  }

  /** The same with routes from an etcd, which is on another host. */
  static async startWithEtcd(
    onCleanup: OnCleanup,
  ): Promise<{ readonly service: SystemService; readonly etcd: Etcd }> {
    const config = { Network: "10.5.0.0/16", Backend: { Type: "vxlan" } };
    const net = await EtcdBed.start(onCleanup, config, { hosts: 2 });
    const { bed, etcd } = net;
    const one = await net.startNode(bed.host(1));
    const machine = await Machine.create(bed.host(2).ns, onCleanup);
    const settings = `WEFT_ETCD_ENDPOINTS=${etcd.endpoint}`;
    return { service: await SystemService.install(onCleanup, machine, bed, one.pod, settings), etcd };
  }

  private static async install(
    onCleanup: OnCleanup,
    machine: Machine,
    bed: Bed,
    peer: Pod,
    settings: string,
  ): Promise<SystemService> {
    await machine.install();
    await machine.write("/etc/default/weftd", `${settings}\n`);
    await machine.boot();
    await machine.run("weft", ["install-service"]);
    // Returns when the service says that packets can flow.
    await machine.run("systemctl", ["start", "weftd"]);
    const network = parsePodNetwork(await machine.run("cat", ["/run/flannel/subnet.env"]));
    const pods = [peer, await bed.host(2).addPod(network)] as const;
    await mustPing(pods[0].ns, pods[1].address);
    return new SystemService(machine, pods, await Ledger.build(onCleanup));
  }

  async status(): Promise<Status> {
    return (await ask(this.machine.inside("/run/weft"), "GET", "/status")) as Status;
  }

  /** A property of the unit, as `systemctl show` has it. */
  async property(name: string): Promise<string> {
    const line = await this.machine.run("systemctl", ["show", "weftd", `--property=${name}`, "--value"]);
    return line.trim();
  }

  /** The main process. */
  async main(): Promise<Process> {
    const { pid } = await this.status();
    const main = (await this.machine.processes(/weftd/)).find(({ inside }) => inside === pid);
    if (main === undefined) throw new Error(`there is no process ${pid}`);
    return main;
  }

  /** Ends the main process, and waits for another one. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const { pid, inside } = await this.main();
    process.kill(pid, signal);
    await this.another(inside);
  }

  /** Waits until a daemon whose pid in the machine is not `pid` says that it carries packets. */
  async another(pid: number): Promise<Status> {
    return until(
      "another daemon",
      async () => {
        const status = await this.status().catch(() => null);
        return status !== null && status.pid !== pid && status.health.state !== "starting" ? status : null;
      },
      30_000,
    );
  }

  /** Waits until systemd takes the service for active, with a main process that carries packets. */
  async active(): Promise<Status> {
    return until(
      "an active service",
      async () => {
        const status = await this.status().catch(() => null);
        if (status === null || status.health.state === "starting") return null;
        const [state, main] = [await this.property("ActiveState"), await this.property("MainPID")];
        return state === "active" && main === String(status.pid) ? status : null;
      },
      30_000,
    );
  }

  /** Traffic both ways, from before something happens until a second after it. */
  async traffic(during: () => Promise<void>, perSecond = PER_SECOND): Promise<Accounts> {
    const [a, b] = this.pods;
    const options = { perSecond, atMostMs: 180_000 };
    const streams = await Promise.all([
      this.ledger.start(a.ns, b.ns, b.address, LEDGER_PORT, options),
      this.ledger.start(b.ns, a.ns, a.address, LEDGER_PORT, options),
    ]);
    await delay(200);
    await during();
    await delay(1000);
    return Promise.all([streams[0].stop(), streams[1].stop()]);
  }
}

/** What both streams together suffered. */
export function harmOf(accounts: Accounts): Harm {
  const sum = (of: "sent" | "delivered" | "duplicated" | "corrupt"): number =>
    accounts.reduce((all, account) => all + account[of], 0);
  return {
    sent: sum("sent"),
    lost: sum("sent") - sum("delivered"),
    duplicated: sum("duplicated"),
    corrupt: sum("corrupt"),
    silenceMs: Math.max(...accounts.map(({ silenceUs }) => silenceUs)) / 1000,
    perMs: accounts.reduce((all, { sent, milliseconds }) => all + sent / milliseconds, 0),
  };
}
