/**
 * What a case of the corpus is, and the words in which the tables beside this file write them down: who sends which
 * bytes, what must come out, and which counter moves. Nothing here sends anything; `lab.ts` does.
 *
 *     rx: host2 (peer), host3 (other), host4 (stranger) ── underlay ── host1: weftd ── weft0 (what comes out)
 *     tx: weft0 (what pods and the host send) ── host1: weftd ── underlay ── host2, host3 (what comes out)
 *
 * Host n has the underlay address 192.0.2.n or 2001:db8::n, the subnets 10.5.n.0/24 and fd05:0:0:n::/64, and the VTEP
 * MAC 02:00:00:00:00:0n. Every case runs in each of its labs against the same daemon.
 */
import { udp, type UdpFields, vxlan } from "../support/craft.js";

export interface Lab {
  readonly name: "udp" | "vxlan" | "vxlan6";
  readonly format: "udp" | "vxlan";
  readonly underlay: "ipv4" | "ipv6";
  readonly port: number;
  /** Of weft0: the largest inner packet. */
  readonly mtu: number;
}

export const labs = {
  udp: { name: "udp", format: "udp", underlay: "ipv4", port: 8285, mtu: 1472 },
  vxlan: { name: "vxlan", format: "vxlan", underlay: "ipv4", port: 8472, mtu: 1450 },
  vxlan6: { name: "vxlan6", format: "vxlan", underlay: "ipv6", port: 8472, mtu: 1430 },
} as const satisfies Record<string, Lab>;

/** Which labs a case is for: by default those that can carry its inner family. */
export const ALL: readonly Lab[] = [labs.udp, labs.vxlan, labs.vxlan6];
export const VXLAN: readonly Lab[] = [labs.vxlan, labs.vxlan6];
export const UNDERLAY4: readonly Lab[] = [labs.udp, labs.vxlan];

/** Hosts by number. Nodes 5 to 8 are leases whose hosts cannot be reached, each in a way of its own. */
export const hosts = {
  us: 1,
  peer: 2,
  other: 3,
  stranger: 4,
  unreachable: 5,
  prohibited: 6,
  narrow: 7,
  choked: 8,
} as const;
export type Who = keyof typeof hosts;

export function underlayAddress(who: Who, lab: Lab): string {
  return lab.underlay === "ipv4" ? `192.0.2.${hosts[who]}` : `2001:db8::${hosts[who]}`;
}

export function mac(who: Who): string {
  return `02:00:00:00:00:0${hosts[who]}`;
}

/** Inner packets from a pod of the peer to a pod of ours, and the reverse. */
export const rx4 = { source: "10.5.2.9", destination: "10.5.1.2" } as const;
export const rx6 = { source: "fd05:0:0:2::9", destination: "fd05:0:0:1::2" } as const;
export const tx4 = { source: "10.5.1.2", destination: "10.5.2.9" } as const;
export const tx6 = { source: "fd05:0:0:1::2", destination: "fd05:0:0:2::9" } as const;

/** One thing put on the underlay: a UDP payload through a socket, or whole IP packets through a raw one. */
export type Transmission = { readonly payload: Uint8Array } | { readonly packets: readonly Uint8Array[] };

/** A packet written to the TUN: its bytes with the checksum completed, and the segment size of a super-packet. */
export interface Written {
  readonly bytes: Uint8Array;
  readonly gsoSize: number;
}

export type RxOutcome =
  | { readonly kind: "delivered"; readonly packets: readonly Written[] }
  | { readonly kind: "answered"; readonly payload: Uint8Array }
  | { readonly kind: "dropped"; readonly reason: string }
  /** The kernel itself refuses the datagram: not even "packets in" moves. */
  | { readonly kind: "unseen" };

export interface RxCase {
  readonly name: string;
  readonly labs: readonly Lab[];
  readonly from: Who;
  /** Several for a loop: each is sent, all with the same outcome. */
  readonly sent: readonly ((lab: Lab) => Transmission)[];
  readonly outcome: (lab: Lab) => RxOutcome;
  /** Sent while weft0 is down. */
  readonly tunDown: boolean;
}

/** What the kernel keeps beside a packet that it reads from a sender behind offloads. */
export interface Offload {
  /** 0 for a packet whose checksum alone is unfinished. */
  readonly gsoSize: number;
  readonly start: number;
  readonly offset: number;
}

export type TxOutcome =
  /** The inner packets that go out, in order, and the TOS or traffic class of the outer header. */
  | {
      readonly kind: "sent";
      readonly to: Who;
      readonly packets: readonly Uint8Array[];
      readonly tos: number;
    }
  /** `icmp`: the error that the sender gets. */
  | { readonly kind: "dropped"; readonly reason: string; readonly icmp: Uint8Array | null };

export interface TxCase {
  readonly name: string;
  readonly labs: readonly Lab[];
  readonly packets: (lab: Lab) => readonly Uint8Array[];
  readonly offload: Offload | null;
  readonly outcome: (lab: Lab) => TxOutcome;
}

/* --- rx ------------------------------------------------------------------------------------------------------- */

/** An inner packet in a proper encapsulation. */
export interface Inner {
  readonly inner: Uint8Array;
}

type Sent = Inner | ((lab: Lab) => Transmission);

/** A row of the tables: `from` is the peer unless the name of another host stands there. */
export function rx(
  name: string,
  sent: Sent | readonly Sent[],
  outcome: RxOutcome | ((lab: Lab) => RxOutcome),
  options: { readonly labs?: readonly Lab[]; readonly from?: Who; readonly tunDown?: boolean } = {},
): RxCase {
  const all = Array.isArray(sent) ? (sent as readonly Sent[]) : [sent as Sent];
  const from = options.from ?? "peer";
  const six = all.some((each) => "inner" in each && (each.inner[0] ?? 0) >> 4 === 6);
  return {
    name,
    labs: options.labs ?? (six ? VXLAN : ALL),
    from,
    sent: all.map((each) =>
      "inner" in each ? (lab: Lab) => ({ payload: encapsulated(each.inner, lab, from) }) : each,
    ),
    outcome: typeof outcome === "function" ? outcome : () => outcome,
    tunDown: options.tunDown ?? false,
  };
}

export function inner(packet: Uint8Array): Inner {
  return { inner: packet };
}

/** A UDP payload as it is. */
export function payload(bytes: Uint8Array): (lab: Lab) => Transmission {
  return () => ({ payload: bytes });
}

/** An inner packet in a proper encapsulation, in an outer datagram that differs from the usual in `fields`. */
export function outer(fields: Partial<UdpFields>, packet: Uint8Array, from: Who = "peer") {
  return (lab: Lab): Transmission => ({
    packets: [outerDatagram(fields, encapsulated(packet, lab, from), lab, from)],
  });
}

export function outerDatagram(fields: Partial<UdpFields>, data: Uint8Array, lab: Lab, from: Who): Uint8Array {
  return udp(
    {
      source: underlayAddress(from, lab),
      destination: underlayAddress("us", lab),
      sourcePort: lab.port,
      destinationPort: lab.port,
      // Zero would let the kernel choose one.
      id: 4711,
      ...fields,
    },
    data,
  );
}

/** The UDP payload around an inner packet from a host to us: in vxlan with the right MACs. */
export function encapsulated(packet: Uint8Array, lab: Lab, from: Who): Uint8Array {
  if (lab.format === "udp") return packet;
  const ethertype = (packet[0] ?? 0) >> 4 === 6 ? 0x86dd : 0x0800;
  return vxlan({ destination: mac("us"), source: mac(from), ethertype }, packet);
}

/** Comes out of the TUN exactly so. */
export function delivered(...packets: readonly Uint8Array[]): RxOutcome {
  return { kind: "delivered", packets: packets.map((bytes) => ({ bytes, gsoSize: 0 })) };
}

export function dropped(reason: string): RxOutcome & TxOutcome {
  return { kind: "dropped", reason, icmp: null };
}

export const unseen: RxOutcome = { kind: "unseen" };

/** A packet that is delivered exactly as it was sent. */
export function passes(name: string, packet: Uint8Array, labs?: readonly Lab[]): RxCase {
  return rx(name, inner(packet), delivered(packet), labs === undefined ? {} : { labs });
}

/* --- tx ------------------------------------------------------------------------------------------------------- */

interface TxOptions {
  readonly labs?: readonly Lab[];
  readonly offload?: Offload;
}

export function tx(
  name: string,
  packets: Uint8Array | readonly Uint8Array[] | ((lab: Lab) => Uint8Array),
  outcome: TxOutcome | ((lab: Lab) => TxOutcome),
  options: TxOptions = {},
): TxCase {
  const make =
    typeof packets === "function"
      ? (lab: Lab): Uint8Array[] => [packets(lab)]
      : (): readonly Uint8Array[] => (packets instanceof Uint8Array ? [packets] : packets);
  const six = typeof packets !== "function" && make(labs.vxlan).some((packet) => (packet[0] ?? 0) >> 4 === 6);
  return {
    name,
    labs: options.labs ?? (six ? VXLAN : ALL),
    packets: make,
    offload: options.offload ?? null,
    outcome: typeof outcome === "function" ? outcome : () => outcome,
  };
}

/** Goes out to the peer in one datagram per packet, with the inner TOS outside as well. */
export function sent(...packets: readonly Uint8Array[]): TxOutcome {
  return sentTo("peer", ...packets);
}

export function sentTo(to: Who, ...packets: readonly Uint8Array[]): TxOutcome {
  const [first = new Uint8Array()] = packets;
  const tos =
    (first[0] ?? 0) >> 4 === 4 ? (first[1] ?? 0) : (((first[0] ?? 0) & 15) << 4) | ((first[1] ?? 0) >> 4);
  return { kind: "sent", to, packets, tos };
}
