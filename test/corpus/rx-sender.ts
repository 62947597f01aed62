/** Who may send at all, and how: outer addresses, ports, checksums, fragments and TOS. */
import { pattern, tcp, udp, vxlan, withBytes } from "../support/craft.js";
import {
  delivered,
  dropped,
  encapsulated,
  inner,
  type Lab,
  labs,
  mac,
  outer,
  outerDatagram,
  payload,
  rx,
  rx4,
  rx6,
  type RxCase,
  type Transmission,
  UNDERLAY4,
  unseen,
  VXLAN,
} from "./case.js";

const packet = udp(rx4);
const vxlan6 = [labs.vxlan6];

/** The datagram around `packet` as IPv4 fragments, cut at these offsets of the outer payload. */
function fragments(...cuts: readonly number[]) {
  return (lab: Lab): Transmission => {
    const whole = outerDatagram({}, encapsulated(packet, lab, "peer"), lab, "peer");
    const body = whole.subarray(20);
    const bounds = [0, ...cuts, body.length];
    const packets = cuts.concat(0).map((_, i) => {
      const [from = 0, to = 0] = bounds.slice(i, i + 2);
      return fragment(whole, from, to, to < body.length);
    });
    return { packets };
  };
}

function fragment(whole: Uint8Array, from: number, to: number, more: boolean): Uint8Array {
  const header = withBytes(whole.subarray(0, 20), {
    6: (more ? 0x20 : 0) | (from >> 11),
    7: (from >> 3) & 0xff,
  });
  return Buffer.concat([header, whole.subarray(20 + from, 20 + to)]);
}

function reordered(make: (lab: Lab) => Transmission) {
  return (lab: Lab): Transmission => {
    const transmission = make(lab);
    return "packets" in transmission ? { packets: [...transmission.packets].reverse() } : transmission;
  };
}

function only(which: number, make: (lab: Lab) => Transmission) {
  return (lab: Lab): Transmission => {
    const transmission = make(lab);
    return "packets" in transmission
      ? { packets: transmission.packets.slice(which, which + 1) }
      : transmission;
  };
}

/** UDP's own length field cut by some bytes while the IP packet keeps its length. */
function shortUdp(by: number) {
  return (lab: Lab): Transmission => {
    const data = encapsulated(packet, lab, "peer");
    return { packets: [outerDatagram({ udpLength: 8 + data.length - by, sum: "none" }, data, lab, "peer")] };
  };
}

const big = tcp(rx4, pattern(30_000));

export const senders: readonly RxCase[] = [
  rx("a stranger sends a packet that would be right from a peer", inner(packet), dropped("unknown_peer"), {
    from: "stranger",
  }),
  rx("a stranger sends right IPv6", inner(udp(rx6)), dropped("unknown_peer"), { from: "stranger" }),
  rx("a stranger sends nothing: an empty datagram", payload(Buffer.alloc(0)), dropped("unknown_peer"), {
    from: "stranger",
  }),
  rx("a stranger sends one byte", payload(Buffer.alloc(1)), dropped("unknown_peer"), { from: "stranger" }),
  rx("a stranger sends 60 000 bytes", payload(pattern(60_000)), dropped("unknown_peer"), {
    from: "stranger",
  }),
  rx("a stranger asks for our MAC", payload(arpFromStranger()), dropped("unknown_peer"), {
    from: "stranger",
    labs: VXLAN,
  }),
  rx(
    "a stranger's VXLAN header is wrong as well: the sender is looked at first",
    payload(
      vxlan({ flags: 0, tail: 0, destination: mac("us"), source: mac("peer"), ethertype: 0x0800 }, packet),
    ),
    dropped("unknown_peer"),
    { from: "stranger", labs: VXLAN },
  ),
  rx("an outer source next to a peer's", outer({ source: "192.0.2.20" }, packet), dropped("unknown_peer"), {
    labs: UNDERLAY4,
  }),
  rx(
    "an outer source next to a peer's, IPv6",
    outer({ source: "2001:db8::20" }, packet),
    dropped("unknown_peer"),
    { labs: vxlan6 },
  ),
  rx(
    "an outer source in the overlay: a pod's",
    outer({ source: "10.5.2.9" }, packet),
    dropped("unknown_peer"),
    { labs: UNDERLAY4 },
  ),
  rx(
    "a stranger in a peer's clothes with that peer's packet cannot be told from it",
    outer({}, packet),
    delivered(packet),
    { from: "peer" },
  ),
  rx(
    "a stranger in one peer's clothes with another peer's packet",
    outer({}, udp({ ...rx4, source: "10.5.3.9" })),
    dropped("spoofed"),
  ),
  rx("our own address as outer source", outer({ source: "192.0.2.1" }, packet), unseen, { labs: UNDERLAY4 }),
  rx(
    "our own IPv6 address as outer source",
    outer({ source: "2001:db8::1" }, packet),
    dropped("unknown_peer"),
    { labs: vxlan6 },
  ),
  rx("loopback as outer source", outer({ source: "127.0.0.1" }, packet), unseen, { labs: UNDERLAY4 }),
  rx("multicast as outer source", outer({ source: "224.0.0.1" }, packet), unseen, { labs: UNDERLAY4 }),
  rx("broadcast as outer source", outer({ source: "255.255.255.255" }, packet), unseen, { labs: UNDERLAY4 }),

  rx("any source port: 1", outer({ sourcePort: 1 }, packet), delivered(packet)),
  rx("any source port: DNS's", outer({ sourcePort: 53 }, packet), delivered(packet)),
  rx("any source port: one that carries entropy", outer({ sourcePort: 51_234 }, packet), delivered(packet)),
  rx("any source port: 65535", outer({ sourcePort: 65_535 }, packet), delivered(packet)),
  rx("any source port: none", outer({ sourcePort: 0 }, packet), delivered(packet)),
  rx("another destination port is not ours", outer({ destinationPort: 4789 }, packet), unseen),

  rx("no outer checksum, as VXLAN senders may", outer({ sum: "none" }, packet), delivered(packet), {
    labs: UNDERLAY4,
  }),
  rx("no outer checksum over IPv6", outer({ sum: "none" }, packet), delivered(packet), { labs: vxlan6 }),
  rx("no outer checksum around IPv6", outer({ sum: "none" }, udp(rx6)), delivered(udp(rx6)), { labs: VXLAN }),
  rx("a wrong outer checksum is the kernel's to refuse", outer({ sum: "wrong" }, packet), unseen),
  rx(
    "an outer UDP length beyond the packet is the kernel's to refuse",
    outer({ udpLength: 9000, sum: "none" }, packet),
    unseen,
  ),
  rx("an outer UDP length that cuts one byte off the inner packet", shortUdp(1), dropped("runt"), {
    labs: UNDERLAY4,
  }),
  rx(
    "an outer UDP length that leaves no room for an inner header",
    shortUdp(packet.length - 3),
    dropped("runt"),
    { labs: UNDERLAY4 },
  ),
  rx("an outer UDP length of an empty datagram", shortUdp(packet.length), dropped("runt"), {
    labs: [labs.udp],
  }),

  rx("outer fragments are put together again", fragments(24), delivered(packet), { labs: UNDERLAY4 }),
  rx("outer fragments of eight bytes each", fragments(8, 16, 24, 32), delivered(packet), { labs: UNDERLAY4 }),
  rx("outer fragments in reverse order", reordered(fragments(16, 32)), delivered(packet), {
    labs: UNDERLAY4,
  }),
  rx("only the first outer fragment", only(0, fragments(24)), unseen, { labs: UNDERLAY4 }),
  rx("only the last outer fragment", only(1, fragments(32)), unseen, { labs: UNDERLAY4 }),

  rx("outer DSCP stays outside", outer({ tos: 0xb8 }, packet), delivered(packet)),
  rx(
    "outer DSCP does not replace the inner one",
    outer({ tos: 0x20 }, udp({ ...rx4, tos: 0xb8 })),
    delivered(udp({ ...rx4, tos: 0xb8 })),
  ),
  rx(
    "outer DSCP and an IPv6 packet with another",
    outer({ tos: 0x20 }, udp({ ...rx6, tos: 0x48 })),
    delivered(udp({ ...rx6, tos: 0x48 })),
    { labs: VXLAN },
  ),
  rx("outer TTL 1 has come far enough", outer({ ttl: 1 }, packet), delivered(packet)),
  rx("outer options: a router alert", outer({ options: [148, 4, 0, 0] }, packet), delivered(packet), {
    labs: UNDERLAY4,
  }),
  rx("outer packet without DF", outer({ df: false }, packet), delivered(packet), { labs: UNDERLAY4 }),
  rx(
    "65 507 bytes of zeros, all that fits a datagram",
    payload(Buffer.alloc(65_507)),
    (lab) => dropped(lab.format === "udp" ? "bad_header" : "bad_vxlan"),
    { labs: UNDERLAY4 },
  ),
  rx(
    "65 507 bytes, of which the inner packet is the first 32",
    (lab) => ({
      payload: Buffer.concat([
        encapsulated(packet, lab, "peer"),
        Buffer.alloc(65_507 - encapsulated(packet, lab, "peer").length),
      ]),
    }),
    delivered(packet),
    { labs: UNDERLAY4 },
  ),
  rx("a super-packet of a sender on the same machine", inner(big), (lab) => ({
    kind: "delivered",
    packets: [{ bytes: big, gsoSize: lab.mtu - 40 }],
  })),
];

/** The request that `rx-neighbour.ts` shows being answered when a peer sends it. */
function arpFromStranger(): Uint8Array {
  const request = Buffer.from(
    "0001080006040001" + "020000000004" + "0a050400" + "000000000000" + "0a050100",
    "hex",
  );
  return vxlan({ destination: "ff:ff:ff:ff:ff:ff", source: mac("stranger"), ethertype: 0x0806 }, request);
}
