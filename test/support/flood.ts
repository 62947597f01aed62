/**
 * A bed for floods, and what a daemon carries in them.
 *
 *     pod 10.5.1.2 ─ cni0 ─ host1: weftd ── wire ── host2: a peer that sends · host3: anybody else
 */
import { udp, vxlan } from "./craft.js";
import { Bed, type Host } from "./hosts.js";
import { type Node, Overlay, ports } from "./overlay.js";
import { type Pace, Pacer, Sink } from "./pace.js";
import type { OnCleanup } from "./process.js";

const peerMac = "02:00:00:00:00:02";
/** Where nobody listens: the pod's kernel counts what comes. */
const SINK_PORT = 9;
const DATA = "weft";

export interface FloodBed {
  readonly overlay: Overlay;
  readonly weft: Node;
  readonly hosts: readonly [Host, Host, Host];
  readonly port: number;
  readonly pacer: Pacer;
  readonly sink: Sink;
  /** Datagrams with packets of the peer's pod to ours; right only when host2 sends them. */
  readonly flow: (rate: { readonly perSecond: number; readonly milliseconds: number }) => Pace;
}

/** Starts the daemon of host1 with host2 as its one peer. */
export async function startFloodBed(onCleanup: OnCleanup, format: "udp" | "vxlan"): Promise<FloodBed> {
  const bed = await Bed.create(onCleanup, { hosts: 3 });
  const hosts = [bed.host(1), bed.host(2), bed.host(3)] as const;
  const overlay = await Overlay.create(onCleanup, { format });
  await overlay.addToFile(hosts[0]);
  await overlay.addToFile(hosts[1], format === "vxlan" ? peerMac : undefined);
  const weft = await overlay.startNode(hosts[0]);
  const [destination = ""] = (await weft.weftd.ask("/status")).macs;
  const packet = udp({ source: "10.5.2.2", destination: weft.pod.address, destinationPort: SINK_PORT }, DATA);
  const data = format === "udp" ? packet : vxlan({ destination, source: peerMac, ethertype: 0x0800 }, packet);
  const port = ports[format];
  return {
    overlay,
    weft,
    hosts,
    port,
    pacer: await Pacer.build(onCleanup),
    sink: await Sink.open(weft.pod.ns, SINK_PORT, DATA.length),
    flow: (rate) => ({ address: hosts[0].address, port, data, ...rate }),
  };
}

/** Sends legitimate traffic at a rate, and returns how much was sent and how much of it reached the pod. */
async function legitimate(
  { pacer, sink, hosts, flow }: FloodBed,
  perSecond: number,
  milliseconds: number,
): Promise<{ readonly sent: number; readonly arrived: number }> {
  const before = await sink.count();
  const sent = await pacer.send(hosts[1].ns, flow({ perSecond, milliseconds }));
  return { sent, arrived: (await sink.rest()) - before };
}

/** The highest rate, of steps of two fifths, at which everything arrives, or that the sender reaches. */
async function lossFreeRate(bed: FloodBed, milliseconds: number): Promise<number> {
  let best = 0;
  for (let perSecond = 50_000; ; perSecond = Math.round(perSecond * 1.4)) {
    const { sent, arrived } = await legitimate(bed, perSecond, milliseconds);
    if (arrived < sent) return best;
    best = Math.round((arrived * 1000) / milliseconds);
    if (best < 0.9 * perSecond) return best;
  }
}

/**
 * Finds the loss-free rate, then sends a fifth of it with five times that from strangers beside it. Returns the rate,
 * and what was sent and arrived of the fifth.
 */
export async function underStrangers(
  bed: FloodBed,
  { searchMs, floodMs }: { readonly searchMs: number; readonly floodMs: number },
): Promise<{ readonly perSecond: number; readonly sent: number; readonly arrived: number }> {
  const perSecond = await lossFreeRate(bed, searchMs);
  const fifth = Math.round(perSecond / 5);
  const [{ sent, arrived }] = await Promise.all([
    legitimate(bed, fifth, floodMs),
    bed.pacer.send(bed.hosts[2].ns, bed.flow({ perSecond: 5 * fifth, milliseconds: floodMs })),
  ]);
  return { perSecond, sent, arrived };
}
