/** What stands between UDP and the inner packet in the vxlan format: flags, VNI, Ethernet addresses, EtherType. */
import { tcp, udp, vxlan, type VxlanFields } from "../support/craft.js";
import { delivered, dropped, mac, rx, rx4, rx6, type RxCase, type Transmission, VXLAN } from "./case.js";

const packet4 = udp(rx4);
const packet6 = udp(rx6);

/** A frame from the peer's VTEP to ours, but for `fields`. */
function frame(fields: Partial<VxlanFields>, contents = packet4): Transmission {
  const ethertype = (contents[0] ?? 0) >> 4 === 6 ? 0x86dd : 0x0800;
  return { payload: vxlan({ destination: mac("us"), source: mac("peer"), ethertype, ...fields }, contents) };
}

function row(
  name: string,
  frames: Transmission | readonly Transmission[],
  outcome: Parameters<typeof rx>[2],
): RxCase {
  const list = Array.isArray(frames) ? (frames as readonly Transmission[]) : [frames as Transmission];
  return rx(
    name,
    list.map((each) => (): Transmission => each),
    outcome,
    { labs: VXLAN },
  );
}

const bits = Array.from({ length: 32 }, (_, i) => (1 << i) >>> 0);
const I = 0x08000000;
const whole = frame({}) as { readonly payload: Uint8Array };
const cut = (length: number): Transmission => ({ payload: whole.payload.subarray(0, length) });

export const frames: readonly RxCase[] = [
  row("a frame as every VTEP sends it", frame({}), delivered(packet4)),
  row("a frame around IPv6", frame({}, packet6), delivered(packet6)),

  row("no byte at all", cut(0), dropped("runt")),
  row(
    "every length that is shorter than VXLAN and Ethernet header",
    lengths(1, 21).map(cut),
    dropped("runt"),
  ),
  row("both headers and nothing in them", cut(22), dropped("runt")),
  row("both headers around one byte of a packet", cut(23), dropped("runt")),
  row("both headers, cut in the middle of the inner IP header", cut(22 + 12), dropped("runt")),

  row("I flag missing", frame({ flags: 0 }), dropped("bad_vxlan")),
  row("I flag in the lowest bit of its byte instead", frame({ flags: 0x01000000 }), dropped("bad_vxlan")),
  row(
    "I flag in the last byte of the word, as a little-endian writer has it",
    frame({ flags: 0x08 }),
    dropped("bad_vxlan"),
  ),
  row(
    "each reserved bit of the first word alone",
    bits.filter((bit) => bit !== I).map((bit) => frame({ flags: (I | bit) >>> 0 })),
    dropped("bad_vxlan"),
  ),
  row(
    "each bit of the reserved last byte alone",
    bits.slice(0, 8).map((bit) => frame({ tail: 0x100 | bit })),
    dropped("bad_vxlan"),
  ),
  row("all bits of the first word", frame({ flags: 0xffffffff }), dropped("bad_vxlan")),
  row(
    "the G flag of group policies, which this network does not use",
    frame({ flags: 0x88000000 }),
    dropped("bad_vxlan"),
  ),
  row("the G flag with a policy", frame({ flags: 0x88000022 }), dropped("bad_vxlan")),
  row("the P flag of VXLAN-GPE", frame({ flags: 0x0c000001 }), dropped("bad_vxlan")),
  row("remote checksum offload", frame({ flags: 0x08200000 }), dropped("bad_vxlan")),
  row("flags and VNI wrong: flags are named", frame({ flags: 0, tail: 0x200 }), dropped("bad_vxlan")),

  row("VNI 0", frame({ tail: 0 }), dropped("bad_vni")),
  row("the next VNI", frame({ tail: 0x200 }), dropped("bad_vni")),
  row("the highest VNI", frame({ tail: 0xffffff00 }), dropped("bad_vni")),
  row("our VNI from the wrong end", frame({ tail: 0x01000000 }), dropped("bad_vni")),
  row(
    "each bit of the VNI flipped alone",
    bits.slice(8).map((bit) => frame({ tail: (0x100 ^ bit) >>> 0 })),
    dropped("bad_vni"),
  ),
  row(
    "VNI and EtherType wrong: the VNI is named",
    frame({ tail: 0x200, ethertype: 0x88cc }),
    dropped("bad_vni"),
  ),

  row("a VLAN tag", frame({ ethertype: 0x8100 }), dropped("ethertype")),
  row("a provider's VLAN tag", frame({ ethertype: 0x88a8 }), dropped("ethertype")),
  row("LLDP", frame({ ethertype: 0x88cc, destination: "01:80:c2:00:00:0e" }), dropped("ethertype")),
  row(
    "spanning tree: an 802.3 length instead of a type",
    frame({ ethertype: 38, destination: "01:80:c2:00:00:00" }),
    dropped("ethertype"),
  ),
  row("MPLS", frame({ ethertype: 0x8847 }), dropped("ethertype")),
  row("PPPoE", frame({ ethertype: 0x8864 }), dropped("ethertype")),
  row("reverse ARP", frame({ ethertype: 0x8035 }), dropped("ethertype")),
  row(
    "types next to those that pass",
    [0x07ff, 0x0801, 0x0805, 0x0807, 0x86dc, 0x86de].map((ethertype) => frame({ ethertype })),
    dropped("ethertype"),
  ),
  row("type 0", frame({ ethertype: 0 }), dropped("ethertype")),
  row("IPv6 in a frame of type IPv4", frame({ ethertype: 0x0800 }, packet6), dropped("bad_header")),
  row("IPv4 in a frame of type IPv6", frame({ ethertype: 0x86dd }, packet4), dropped("bad_header")),

  row("to nobody's MAC", frame({ destination: "02:00:00:00:00:77" }), dropped("bad_mac")),
  row("to the sender's own MAC", frame({ destination: mac("peer") }), dropped("bad_mac")),
  row("to another VTEP's MAC", frame({ destination: mac("other") }), dropped("bad_mac")),
  row("to MAC zero", frame({ destination: "00:00:00:00:00:00" }), dropped("bad_mac")),
  row(
    "each bit of our MAC flipped alone, but that which makes a group",
    bits
      .slice(0, 24)
      .filter((bit) => bit !== 1)
      .map((bit) => frame({ destination: flipped(mac("us"), bit) })),
    dropped("bad_mac"),
  ),
  row("from our own MAC", frame({ source: mac("us") }), dropped("bad_mac")),
  row("from MAC zero", frame({ source: "00:00:00:00:00:00" }), dropped("bad_mac")),
  row("from a group MAC", frame({ source: "01:00:5e:00:00:01" }), dropped("bad_mac")),
  row("from the broadcast MAC", frame({ source: "ff:ff:ff:ff:ff:ff" }), dropped("bad_mac")),
  row("from another peer's MAC", frame({ source: mac("other") }), dropped("bad_mac")),
  row(
    "from a MAC that a pod behind a bridge would have",
    frame({ source: "0a:58:0a:05:02:09" }),
    dropped("bad_mac"),
  ),
  row("from a wrong MAC around IPv6", frame({ source: mac("other") }, packet6), dropped("bad_mac")),
  row(
    "a wrong MAC and a forged inner source: the MAC is named",
    frame({ source: mac("other") }, udp({ ...rx4, source: "10.5.3.9" })),
    dropped("bad_mac"),
  ),

  row("broadcast", frame({ destination: "ff:ff:ff:ff:ff:ff" }), dropped("bcast_mcast")),
  row("an IPv4 group's MAC", frame({ destination: "01:00:5e:00:00:fb" }), dropped("bcast_mcast")),
  row("an IPv6 group's MAC", frame({ destination: "33:33:00:00:00:01" }, packet6), dropped("bcast_mcast")),
  row("our MAC with the group bit", frame({ destination: "03:00:00:00:00:01" }), dropped("bcast_mcast")),
  row(
    "a learning peer floods what it has no entry for",
    frame({ destination: "ff:ff:ff:ff:ff:ff" }, tcp(rx4)),
    dropped("bcast_mcast"),
  ),
  row(
    "broadcast from a wrong MAC: broadcast is named",
    frame({ destination: "ff:ff:ff:ff:ff:ff", source: mac("other") }),
    dropped("bcast_mcast"),
  ),

  row("Ethernet padding to 46 bytes", frame({}, padded(packet4, 14)), delivered(packet4)),
  row("padding that is not zero", frame({}, padded(packet4, 14, 0xee)), delivered(packet4)),
  row("padding behind IPv6", frame({}, padded(packet6, 6)), delivered(packet6)),
  row(
    "a frame check sequence left behind the packet",
    frame({}, padded(packet4, 4, 0x5a)),
    delivered(packet4),
  ),
  row(
    "padding behind a TCP segment without data",
    frame({}, padded(tcp(rx4, ""), 6)),
    delivered(tcp(rx4, "")),
  ),
  row(
    "a packet with one byte cut off, padded to more than its length",
    frame({}, padded(packet4.subarray(0, 31), 15, 0)),
    delivered(Buffer.concat([packet4.subarray(0, 31), Buffer.alloc(1)])),
  ),
];

function lengths(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

function padded(packet: Uint8Array, by: number, filler = 0): Uint8Array {
  return Buffer.concat([packet, Buffer.alloc(by, filler)]);
}

/** A MAC with one of its first 24 bits flipped, counted from the lowest of the first byte. */
function flipped(text: string, bit: number): string {
  const bytes = Buffer.from(text.replaceAll(":", ""), "hex");
  const n = Math.log2(bit);
  bytes[Math.floor(n / 8)] = (bytes[Math.floor(n / 8)] ?? 0) ^ (1 << (n % 8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
