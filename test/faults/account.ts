/**
 * Where packets were lost: beside the account of a stream (ledger.ts), the counters that it passed on its way, before
 * and after, of the daemons, the wire and the kernel. What the stream misses and none of them counted is unexplained.
 *
 *     pod eth0 → host veth → TUN queue → weftd tx → eth0 → wire → host socket → weftd rx → pod veth → receiver
 */
import type { StreamAccount } from "../support/ledger.js";
import type { Namespace } from "../support/netns.js";
import type { Node } from "../support/overlay.js";
import type { Wire, WireDirection } from "../support/wire.js";

/** Monotonic counters of lost packets by place. */
type Places = ReadonlyMap<string, number>;

export interface Way {
  readonly from: Node;
  readonly to: Node;
  readonly wire: Wire;
  readonly direction: WireDirection;
}

export interface Account extends StreamAccount {
  readonly lost: number;
  /** Places that lost something, and how much. */
  readonly where: Readonly<Record<string, number>>;
  /** Lost and counted nowhere; below zero: more was counted than this stream lost. */
  readonly unexplained: number;
  /** For how long the stream was not served, all in all: its loss as time. */
  readonly blockedMs: number;
}

/** What every place on the way has lost until now. A daemon that cannot be asked has lost nothing that is known. */
export async function readPlaces({ from, to, wire, direction }: Way): Promise<Places> {
  const places = new Map<string, number>();
  const [{ [direction]: account }, tx, rx] = await Promise.all([
    wire.report(),
    daemonPlaces(from, "tx"),
    daemonPlaces(to, "rx"),
  ]);
  for (const name of ["lost", "limited", "oversize", "unsent", "overflowed"] as const) {
    places.set(`wire ${name}`, account[name]);
  }
  for (const [place, count] of [...tx, ...rx]) places.set(place, count);
  const links: [string, Namespace][] = [
    ["pod", from.pod.ns],
    ["host", from.host.ns],
    ["wire", wire.ns],
    ["host", to.host.ns],
    ["pod", to.pod.ns],
  ];
  for (const [index, [owner, ns]] of links.entries()) {
    for (const [link, dropped] of await linkDrops(ns)) places.set(`${index} ${owner} ${link}`, dropped);
  }
  for (const [place, count] of await kernelDrops(to.host.ns)) places.set(`host ${place}`, count);
  for (const [place, count] of await kernelDrops(to.pod.ns)) places.set(`pod ${place}`, count);
  return places;
}

/** The account of a stream, with what the places on its way lost meanwhile. */
export function settle(stream: StreamAccount, before: Places, after: Places): Account {
  const where: Record<string, number> = {};
  for (const [place, count] of after) {
    const earlier = before.get(place) ?? 0;
    // A daemon that was restarted counts from zero.
    const lost = count >= earlier ? count - earlier : count;
    if (lost > 0) where[place.replace(/^\d /, "")] = lost;
  }
  const lost = stream.sent - stream.delivered;
  const explained = Object.values(where).reduce((sum, count) => sum + count, 0);
  const perMs = stream.sent / stream.milliseconds;
  return { ...stream, lost, where, unexplained: lost - explained, blockedMs: lost / perMs };
}

async function daemonPlaces(node: Node, direction: "tx" | "rx"): Promise<(readonly [string, number])[]> {
  const rows = await node.weftd.ask("/counters").catch(() => []);
  return rows
    .filter((row) => row.direction === direction)
    .filter(({ kind, name }) => kind === "drop" || name === "tun_queue_lost")
    .map(({ name, value }) => [`weftd ${direction} ${name}`, value] as const);
}

/** Frames that a namespace's links did not get rid of. The TUN's are the daemon's to tell. */
async function linkDrops(ns: Namespace): Promise<[string, number][]> {
  const links = JSON.parse(await ns.run("ip", ["-s", "-j", "link"])) as {
    readonly ifname: string;
    readonly stats64: { readonly tx: { readonly dropped: number } };
  }[];
  return links
    .filter(({ ifname }) => ifname !== "weft0")
    .map(({ ifname, stats64 }) => [ifname, stats64.tx.dropped]);
}

/** Packets that a namespace's IPv4 and UDP dropped. What sockets count themselves (SO_RXQ_OVFL) is among them. */
async function kernelDrops(ns: Namespace): Promise<[string, number][]> {
  const lines = (await ns.run("cat", ["/proc/net/snmp"])).split("\n").map((line) => line.split(" "));
  const value = (protocol: string, name: string): number => {
    const [names = [], values = []] = lines.filter(([first]) => first === `${protocol}:`);
    return Number(values[names.indexOf(name)] ?? 0);
  };
  const full = value("Udp", "RcvbufErrors");
  return [
    ["socket full", full],
    ["UDP error", value("Udp", "InErrors") - full],
    ["UDP without port", value("Udp", "NoPorts")],
    ["IP error", value("Ip", "InHdrErrors") + value("Ip", "InAddrErrors")],
  ];
}
