/**
 * ARP and neighbour discovery from peers whose kernels ask across the tunnel: requests for our two addresses are
 * answered unicast, exactly; everything else of the kind ends here.
 */
import { icmp, type IcmpFields, type Sum, vxlan } from "../support/craft.js";
import { dropped, mac, rx, type RxCase, type RxOutcome, type Transmission, VXLAN } from "./case.js";

interface Arp {
  readonly hardware?: number;
  readonly protocol?: number;
  readonly sizes?: number;
  readonly operation?: number;
  readonly sender?: string;
  readonly senderMac?: string;
  readonly target: string;
  readonly targetMac?: string;
}

const BROADCAST = "ff:ff:ff:ff:ff:ff";
const NOBODY = "00:00:00:00:00:00";

function arp(fields: Arp): Buffer {
  const words = Buffer.alloc(8);
  words.writeUInt16BE(fields.hardware ?? 1, 0);
  words.writeUInt16BE(fields.protocol ?? 0x0800, 2);
  words.writeUInt16BE(fields.sizes ?? 0x0604, 4);
  words.writeUInt16BE(fields.operation ?? 1, 6);
  const [senderMac, targetMac] = [fields.senderMac ?? mac("peer"), fields.targetMac ?? NOBODY];
  return Buffer.concat([
    words,
    macBytes(senderMac),
    ip4(fields.sender ?? "10.5.2.0"),
    macBytes(targetMac),
    ip4(fields.target),
  ]);
}

function arpFrame(contents: Uint8Array, destination = BROADCAST): Transmission {
  return { payload: vxlan({ destination, source: mac("peer"), ethertype: 0x0806 }, contents) };
}

/** The reply to the peer: `target` is at our MAC. */
function arpAnswer(target: string, sender = "10.5.2.0"): RxOutcome {
  const reply = arp({
    operation: 2,
    senderMac: mac("us"),
    sender: target,
    targetMac: mac("peer"),
    target: sender,
  });
  return {
    kind: "answered",
    payload: vxlan({ destination: mac("peer"), source: mac("us"), ethertype: 0x0806 }, reply),
  };
}

interface Solicitation {
  readonly target?: string;
  readonly source?: string;
  readonly destination?: string;
  readonly ttl?: number;
  readonly code?: number;
  readonly sum?: Sum;
  readonly type?: number;
  readonly options?: string;
  /** How many bytes of the message behind its ICMPv6 header are sent; all. */
  readonly cut?: number;
  readonly extensions?: IcmpFields["extensions"];
}

const SOURCE_LINK_ADDRESS = "0101" + "020000000002";

function solicitation(fields: Solicitation, frameDestination = "33:33:ff:00:00:00"): Transmission {
  const { target = "fd050000000000010000000000000000", options = SOURCE_LINK_ADDRESS } = fields;
  const body = Buffer.from(target + options, "hex");
  const packet = icmp(
    {
      source: fields.source ?? "fd05:0:0:2::",
      destination: fields.destination ?? "ff02::1:ff00:0",
      ttl: fields.ttl ?? 255,
      type: fields.type ?? 135,
      code: fields.code ?? 0,
      word: 0,
      sum: fields.sum ?? "right",
      ...(fields.extensions === undefined ? {} : { extensions: fields.extensions }),
    },
    body.subarray(0, fields.cut ?? body.length),
  );
  return {
    payload: vxlan({ destination: frameDestination, source: mac("peer"), ethertype: 0x86dd }, packet),
  };
}

/** Router, solicited, override; with our MAC as the target's (RFC 4861 4.4). */
function advertisement(target: string, targetHex: string): RxOutcome {
  const body = Buffer.from(`${targetHex}0201${mac("us").replaceAll(":", "")}`, "hex");
  const fields = { source: target, destination: "fd05:0:0:2::", ttl: 255, type: 136, word: 0xe0000000 };
  return {
    kind: "answered",
    payload: vxlan({ destination: mac("peer"), source: mac("us"), ethertype: 0x86dd }, icmp(fields, body)),
  };
}

const gateway = "fd050000000000010000000000000001";
const ours = "fd050000000000010000000000000000";

function row(name: string, sent: Transmission | readonly Transmission[], outcome: RxOutcome): RxCase {
  const list = Array.isArray(sent) ? (sent as readonly Transmission[]) : [sent as Transmission];
  return rx(
    name,
    list.map((each) => (): Transmission => each),
    outcome,
    { labs: VXLAN },
  );
}

export const neighbours: readonly RxCase[] = [
  row("ARP for our .0, broadcast", arpFrame(arp({ target: "10.5.1.0" })), arpAnswer("10.5.1.0")),
  row("ARP for the pods' gateway", arpFrame(arp({ target: "10.5.1.1" })), arpAnswer("10.5.1.1")),
  row(
    "ARP to our MAC, as a kernel that checks an old entry",
    arpFrame(arp({ target: "10.5.1.0", targetMac: mac("us") }), mac("us")),
    arpAnswer("10.5.1.0"),
  ),
  row(
    "ARP with Ethernet padding",
    arpFrame(Buffer.concat([arp({ target: "10.5.1.0" }), Buffer.alloc(18)])),
    arpAnswer("10.5.1.0"),
  ),
  row(
    "ARP from the peer's host address",
    arpFrame(arp({ target: "10.5.1.0", sender: "192.0.2.2" })),
    arpAnswer("10.5.1.0", "192.0.2.2"),
  ),

  row(
    "ARP for a pod of ours: pods are routed to",
    arpFrame(arp({ target: "10.5.1.2" })),
    dropped("neighbour"),
  ),
  row("ARP for the asker's own address", arpFrame(arp({ target: "10.5.2.0" })), dropped("neighbour")),
  row("ARP for another peer's .0", arpFrame(arp({ target: "10.5.3.0" })), dropped("neighbour")),
  row("ARP for our underlay address", arpFrame(arp({ target: "192.0.2.1" })), dropped("neighbour")),
  row("ARP for 0.0.0.0", arpFrame(arp({ target: "0.0.0.0" })), dropped("neighbour")),
  row(
    "gratuitous ARP of the peer",
    arpFrame(arp({ target: "10.5.2.0", targetMac: BROADCAST })),
    dropped("neighbour"),
  ),
  row(
    "an ARP reply nobody asked for",
    arpFrame(arp({ operation: 2, target: "10.5.1.0" }), mac("us")),
    dropped("neighbour"),
  ),
  row(
    "ARP operations that are neither",
    [0, 3, 4, 8, 0x0100].map((operation) => arpFrame(arp({ operation, target: "10.5.1.0" }))),
    dropped("neighbour"),
  ),
  row("ARP of another hardware", arpFrame(arp({ hardware: 6, target: "10.5.1.0" })), dropped("neighbour")),
  row(
    "ARP for another protocol",
    arpFrame(arp({ protocol: 0x86dd, target: "10.5.1.0" })),
    dropped("neighbour"),
  ),
  row(
    "ARP with other address sizes",
    [0x0604 + 12, 0x0804, 0x0600].map((sizes) => arpFrame(arp({ sizes, target: "10.5.1.0" }))),
    dropped("neighbour"),
  ),
  row(
    "ARP cut off at every length",
    Array.from({ length: 28 }, (_, n) => arpFrame(arp({ target: "10.5.1.0" }).subarray(0, n))),
    dropped("neighbour"),
  ),

  row("solicitation for our ::", solicitation({}), advertisement("fd05:0:0:1::", ours)),
  row(
    "solicitation for the pods' gateway",
    solicitation({ target: gateway }),
    advertisement("fd05:0:0:1::1", gateway),
  ),
  row(
    "solicitation to us alone, as a kernel that checks an old entry",
    solicitation({ destination: "fd05:0:0:1::" }, mac("us")),
    advertisement("fd05:0:0:1::", ours),
  ),
  row(
    "solicitation without the asker's MAC",
    solicitation({ options: "" }),
    advertisement("fd05:0:0:1::", ours),
  ),
  row(
    "solicitation with a nonce option as well",
    solicitation({ options: `${SOURCE_LINK_ADDRESS}0e01aabbccddeeff` }),
    advertisement("fd05:0:0:1::", ours),
  ),

  row(
    "solicitation for a pod of ours",
    solicitation({ target: "fd050000000000010000000000000002" }),
    dropped("neighbour"),
  ),
  row(
    "solicitation for the asker's own address",
    solicitation({ target: "fd050000000000020000000000000000" }),
    dropped("neighbour"),
  ),
  row(
    "solicitation for a group",
    solicitation({ target: "ff020000000000000000000000000001" }),
    dropped("neighbour"),
  ),
  row("solicitation for ::", solicitation({ target: "00".repeat(16) }), dropped("neighbour")),
  row("duplicate address detection", solicitation({ source: "::", options: "" }), dropped("neighbour")),
  row(
    "solicitation that has been through a router",
    [0, 1, 64, 254].map((ttl) => solicitation({ ttl })),
    dropped("neighbour"),
  ),
  row("solicitation with a wrong checksum", solicitation({ sum: "wrong" }), dropped("neighbour")),
  row("solicitation without a checksum", solicitation({ sum: "none" }), dropped("neighbour")),
  row("solicitation with a code", solicitation({ code: 1 }), dropped("neighbour")),
  row(
    "solicitation cut off at every length",
    Array.from({ length: 16 }, (_, cut) => solicitation({ cut })),
    dropped("neighbour"),
  ),
  row(
    "solicitation with an option of length zero",
    solicitation({ options: "0100020000000002" }),
    dropped("neighbour"),
  ),
  row(
    "solicitation with an option that overruns the packet",
    solicitation({ options: "0102020000000002" }),
    dropped("neighbour"),
  ),
  row("solicitation with half an option", solicitation({ options: "01010200" }), dropped("neighbour")),
  row(
    "an advertisement nobody asked for",
    solicitation({ type: 136, destination: "fd05:0:0:1::" }, mac("us")),
    dropped("neighbour"),
  ),
  row(
    "a router solicitation",
    solicitation({ type: 133, destination: "ff02::2" }, "33:33:00:00:00:02"),
    dropped("neighbour"),
  ),
  row(
    "a router advertisement",
    solicitation({ type: 134, destination: "ff02::1" }, "33:33:00:00:00:01"),
    dropped("neighbour"),
  ),
  row(
    "a redirect",
    solicitation({ type: 137, destination: "fd05:0:0:1::2" }, mac("us")),
    dropped("neighbour"),
  ),
  row(
    "a solicitation in a fragment is none (RFC 6980)",
    solicitation({ extensions: [{ type: 44, rest: [0, 0, 1, 0, 0, 0, 7] }] }),
    dropped("bcast_mcast"),
  ),
];

function ip4(text: string): Buffer {
  return Buffer.from(text.split(".").map(Number));
}

function macBytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(":", ""), "hex");
}
