/**
 * `weft trace`: a made-up packet is run through the code that forwards, under the tables in use, and what comes out is
 * told step by step. The verdict is the native code's; the other steps say which rows of the tables it met.
 */
import type { Dataplane } from "./dataplane/engine.js";
import type { RouteRow, Tables } from "./fib/compile.js";
import { contains } from "./net/cidr.js";
import type { Ip } from "./net/ip.js";
import { ipHeaderLength, makePacket, udpHeader } from "./net/packet.js";
import type { TraceRequest } from "./config/requests.js";
import type { TraceStatus } from "./observe/status.js";

/** What the tables do not say. */
export interface TraceContext {
  readonly format: "udp" | "vxlan";
  /** Sentences by drop reason. */
  readonly sentences: ReadonlyMap<string, string>;
  /** What keeps the kernel from forwarding packets of this family, as sentences. */
  readonly forwardingProblems: readonly string[];
}

/** Where an address is: this host's, a peer's (row of the tables), or neither. */
interface Place {
  readonly here: boolean;
  readonly peer: number | null;
  readonly text: string;
}

/**
 * Traces a packet: as received from the peer that has its source when its destination is this host's, else as sent
 * from here.
 */
export function trace(
  dataplane: Dataplane,
  tables: Tables,
  request: TraceRequest,
  context: TraceContext,
): TraceStatus {
  const { source, destination, port } = request;
  const packet = makePacket(request, port, request.size ?? 0);
  const from = locate(tables, source);
  const to = locate(tables, destination);
  const sender = to.here ? from.peer : null;
  const payload = sender === null ? packet : encapsulate(tables, sender, packet, context.format);
  const { reason, datagrams, packet: delivered, reply } = dataplane.trace(sender, payload);

  const steps: TraceStatus["steps"][number][] = [
    { name: "source", outcome: `${source.text}: ${from.text}` },
    { name: "destination", outcome: `${destination.text}: ${to.text}` },
  ];
  const sent = datagrams.map(({ peer, tos, bytes }) => ({
    to: tables.peers[peer]?.address.text ?? "",
    size: outerSize(tables, peer, bytes.length),
    tos,
  }));
  if (sender !== null) {
    steps.push({ name: "received", outcome: `a datagram from ${describePeer(tables, sender)}` });
  } else if (to.peer !== null) {
    steps.push({ name: "mtu", outcome: describeMtu(dataplane, tables, to.peer) });
  }
  for (const { to: address, size, tos } of sent) {
    const format = context.format === "vxlan" ? `in VXLAN, VNI ${tables.self.vni},` : "in UDP";
    const outcome = `${format} to ${address}: ${size} bytes with outer headers, TOS 0x${tos.toString(16).padStart(2, "0")}`;
    steps.push({ name: "encapsulated", outcome });
  }
  if (delivered !== null) {
    steps.push({
      name: "delivered",
      outcome: `to ${dataplane.tun}: ${delivered.length} bytes, for the host to route`,
    });
  }
  const sentence = reason === null ? null : (context.sentences.get(reason) ?? "");
  if (reason !== null) steps.push({ name: "dropped", outcome: `${reason} – ${sentence ?? ""}` });
  const told = reply === null ? null : describeReply(reply);
  if (told !== null) steps.push({ name: "told", outcome: `the sender, by ICMP: ${told}` });
  for (const problem of context.forwardingProblems) steps.push({ name: "kernel", outcome: problem });
  return {
    direction: sender === null ? "tx" : "rx",
    verdict: reason === null ? "forwarded" : "dropped",
    reason,
    sentence,
    size: packet.length,
    steps,
    datagrams: sent,
    reply: told,
  };
}

function locate(tables: Tables, address: Ip): Place {
  const { self, peers, routes } = tables;
  const at = peers.findIndex((peer) => peer.address.text === address.text);
  if (at !== -1) return { here: false, peer: at, text: `underlay address of ${describePeer(tables, at)}` };
  if ([self.source4, self.source6].some((own) => own?.text === address.text)) {
    return { here: true, peer: null, text: "an underlay address of this host" };
  }
  const route = longest(routes.filter(({ prefix }) => contains(prefix, address)));
  if (route === null) return { here: false, peer: null, text: "no lease covers it" };
  const { prefix, peer } = route;
  return peer === null
    ? { here: true, peer, text: `in this host's subnet ${prefix.text}` }
    : { here: false, peer, text: `in ${prefix.text}, through ${describePeer(tables, peer)}` };
}

function longest(routes: readonly RouteRow[]): RouteRow | null {
  return routes.reduce<RouteRow | null>(
    (best, route) => (best === null || route.prefix.length > best.prefix.length ? route : best),
    null,
  );
}

function describePeer({ peers, nodes }: Tables, index: number): string {
  const peer = peers[index];
  return peer === undefined ? "" : `${peer.address.text} (${nodes[peer.node] ?? ""})`;
}

function describeMtu(dataplane: Dataplane, { self }: Tables, peer: number): string {
  const pathMtu = dataplane.peerTraffic()[peer]?.traffic.pathMtu ?? 0;
  const path =
    pathMtu === 0 ? "the path is not known to carry less" : `the path carries ${pathMtu} with outer headers`;
  return `packets of ${self.mtu} bytes; ${path}`;
}

function outerSize({ peers }: Tables, peer: number, payload: number): number {
  return ipHeaderLength(peers[peer]?.address.family ?? 4) + udpHeader(0, 0, 0).length + payload;
}

/** A datagram's payload as that peer would send it (RFC 7348 section 5). */
function encapsulate(
  { self, peers }: Tables,
  peer: number,
  packet: Uint8Array,
  format: TraceContext["format"],
): Uint8Array {
  if (format === "udp") return packet;
  const v4 = (packet[0] ?? 0) >> 4 === 4;
  const header = new Uint8Array(22);
  const view = new DataView(header.buffer);
  view.setUint8(0, 8);
  view.setUint32(4, self.vni * 256);
  header.set((v4 ? self.mac4 : self.mac6) ?? [], 8);
  header.set(peers[peer]?.mac ?? [], 14);
  view.setUint16(20, v4 ? 0x0800 : 0x86dd);
  return Buffer.concat([header, packet]);
}

/** By family, type and code (RFC 792, RFC 1191, RFC 1812, RFC 4443). */
const REPLIES: Readonly<Record<string, string>> = {
  "4 3 0": "network unreachable",
  "4 3 1": "host unreachable",
  "4 3 4": "fragmentation needed",
  "4 3 13": "administratively prohibited",
  "4 11 0": "time exceeded",
  "6 1 0": "no route to destination",
  "6 1 1": "administratively prohibited",
  "6 1 3": "address unreachable",
  "6 2 0": "packet too big",
  "6 3 0": "time exceeded",
};

function describeReply(reply: Uint8Array): string {
  const family = (reply[0] ?? 0) >> 4 === 4 ? 4 : 6;
  const icmp = reply.subarray(ipHeaderLength(family));
  const key = `${family} ${icmp[0] ?? 0} ${icmp[1] ?? 0}`;
  const mtu = new DataView(icmp.buffer, icmp.byteOffset).getUint32(4) & 0xffff;
  return `${REPLIES[key] ?? `type ${key}`}${mtu === 0 ? "" : `, MTU ${mtu}`}`;
}
