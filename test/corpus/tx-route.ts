/** Where packets from the TUN go: to whom, under which outer header, or back to their sender as an error. */
import { icmp, icmpError, ip, type IpFields, pattern, tcp, udp } from "../support/craft.js";
import {
  ALL,
  dropped,
  type Lab,
  labs,
  sent,
  sentTo,
  tx,
  tx4,
  tx6,
  type TxCase,
  type TxOutcome,
  UNDERLAY4,
  VXLAN,
} from "./case.js";

const VXLAN6 = [labs.vxlan6];
const OUR4 = "10.5.1.0";
const OUR6 = "fd05:0:0:1::";

/** ICMP type and code per reason and family. */
const errors = {
  no_route: { 4: [3, 0], 6: [1, 0] },
  own_subnet: { 4: [3, 1], 6: [1, 3] },
  nested: { 4: [3, 13], 6: [1, 1] },
  ttl: { 4: [11, 0], 6: [3, 0] },
} as const;

function answered(reason: keyof typeof errors, packet: Uint8Array): TxOutcome {
  const six = (packet[0] ?? 0) >> 4 === 6;
  const [type, code] = errors[reason][six ? 6 : 4];
  return { kind: "dropped", reason, icmp: icmpError(six ? OUR6 : OUR4, type, code, packet) };
}

let senders = 10;

/** Errors to one sender are limited, so each of these rows has a sender of its own. */
function pod(destination: string): IpFields {
  const n = ++senders;
  return { source: destination.includes(":") ? `fd05:0:0:1::${n}` : `10.5.1.${n}`, destination };
}

/** Dropped with an error to the sender, by destination. */
function refused(
  reason: keyof typeof errors,
  destinations: Readonly<Record<string, string>>,
  where?: readonly Lab[],
): TxCase[] {
  return Object.entries(destinations).map(([name, destination]) => {
    const packet = udp(pod(destination));
    return tx(`to ${name}`, packet, answered(reason, packet), where === undefined ? {} : { labs: where });
  });
}

/** Dropped in silence, by source or destination. */
function silent(
  reason: string,
  where: readonly Lab[] | null,
  rows: Readonly<Record<string, Partial<IpFields>>>,
): TxCase[] {
  return Object.entries(rows).map(([name, fields]) => {
    const six = [fields.source, fields.destination].some((address) => address?.includes(":") === true);
    const packet = udp({ ...(six ? tx6 : tx4), ...fields });
    return tx(name, packet, dropped(reason), where === null ? {} : { labs: where });
  });
}

/** Forwarded with one TTL less. */
function forwarded(
  name: string,
  fields: IpFields,
  to: "peer" | "other" = "peer",
  where?: readonly Lab[],
): TxCase {
  return tx(
    name,
    udp({ ...fields, ttl: 64 }),
    sentTo(to, udp({ ...fields, ttl: 63 })),
    where === undefined ? {} : { labs: where },
  );
}

const codepoints = { "Not-ECT": 0, "ECT(1)": 1, "ECT(0)": 2, CE: 3 } as const;

/** RFC 6040 4.1, normal mode; DSCP is copied as well (RFC 2983, uniform model). */
const tos: readonly TxCase[] = Object.entries(codepoints).flatMap(([name, ecn]) =>
  [tx4, tx6].flatMap((fields) =>
    (
      [
        ["no DSCP", 0],
        ["expedited forwarding", 0xb8],
        ["every DSCP bit", 0xfc],
      ] as const
    ).map(([dscp, bits]) =>
      tx(
        `${name} and ${dscp}, ${fields === tx4 ? "IPv4" : "IPv6"}, are copied outside`,
        tcp({ ...fields, tos: bits | ecn, flow: 0x12345 }),
        sent(tcp({ ...fields, tos: bits | ecn, flow: 0x12345, ttl: 63 })),
        { labs: fields === tx4 ? ALL : VXLAN },
      ),
    ),
  ),
);

export const routes: readonly TxCase[] = [
  forwarded("a pod to a pod of the peer", tx4),
  forwarded("a pod to a pod of the other peer", { ...tx4, destination: "10.5.3.9" }, "other"),
  forwarded("to the peer's .0", { ...tx4, destination: "10.5.2.0" }),
  forwarded("to the peer's gateway address", { ...tx4, destination: "10.5.2.1" }),
  forwarded("to the last address of the peer's subnet, which only the peer can judge", {
    ...tx4,
    destination: "10.5.2.255",
  }),
  forwarded("IPv6 to the other peer", { ...tx6, destination: "fd05:0:0:3::9" }, "other"),
  forwarded("IPv6 to the far end of the peer's subnet", {
    ...tx6,
    destination: "fd05:0:0:2:ffff:ffff:ffff:ffff",
  }),
  forwarded("from our .0: the host itself", { ...tx4, source: OUR4 }),
  forwarded("from our gateway address", { ...tx4, source: "10.5.1.1" }),
  forwarded(
    "from our underlay address: a host-network sender",
    { ...tx4, source: "192.0.2.1" },
    "peer",
    UNDERLAY4,
  ),
  forwarded("from our IPv6 underlay address", { ...tx6, source: "2001:db8::1" }, "peer", VXLAN6),
  forwarded("from outside the overlay: a client that the host forwards", { ...tx4, source: "198.51.100.7" }),
  forwarded("from a subnet that nobody leases", { ...tx4, source: "10.5.77.9" }),
  forwarded("from a link-local IPv4 address", { ...tx4, source: "169.254.7.7" }),
  forwarded("with the tunnel's own port: VXLAN between pods", { ...tx4, ...{ destinationPort: 8472 } }),
  ...tos,

  ...refused("no_route", {
    "a subnet of the overlay that nobody leases": "10.5.77.1",
    "the first subnet, which is never leased": "10.5.0.1",
    "outside the overlay": "198.51.100.7",
    "a private network beside the overlay": "10.6.0.1",
    "a host of the underlay that is no peer": "192.0.2.4",
    "a link-local IPv4 address": "169.254.169.254",
    "a subnet that nobody leases, IPv6": "fd05:0:0:77::1",
    "outside the overlay, IPv6": "2001:db8:99::7",
  }),
  ...refused("own_subnet", {
    "a pod of ours that is not there": "10.5.1.99",
    "our own .0": "10.5.1.0",
    "our own gateway address": "10.5.1.1",
    "a pod of ours that is not there, IPv6": "fd05:0:0:1::99",
  }),
  ...refused(
    "nested",
    {
      "our underlay address": "192.0.2.1",
      "the peer's underlay address": "192.0.2.2",
      "the other peer's underlay address": "192.0.2.3",
      "the underlay address of a peer that is down": "192.0.2.5",
    },
    UNDERLAY4,
  ),
  ...refused(
    "nested",
    {
      "our IPv6 underlay address": "2001:db8::1",
      "the peer's IPv6 underlay address": "2001:db8::2",
      "the other peer's IPv6 underlay address": "2001:db8::3",
    },
    VXLAN6,
  ),
  ...[0, 1].flatMap((ttl) =>
    ["10.5.2.9", "fd05:0:0:2::9"].map((destination) => {
      const packet = udp({ ...pod(destination), ttl });
      return tx(`TTL ${ttl} to ${destination}`, packet, answered("ttl", packet));
    }),
  ),
  ...[
    tcp({ ...pod("10.5.2.9"), ttl: 1 }, pattern(300)),
    icmp({ ...pod("10.5.2.9"), ttl: 1 }),
    ip({ ...pod("10.5.2.9"), ttl: 1 }, 132, pattern(12)),
  ].map((packet) => tx(`TTL 1, protocol ${packet[9] ?? 0}`, packet, answered("ttl", packet))),
  tx("TTL 2 is the least that goes out", udp({ ...tx4, ttl: 2 }), sent(udp({ ...tx4, ttl: 1 }))),
  tx("TTL 255", udp({ ...tx4, ttl: 255 }), sent(udp({ ...tx4, ttl: 254 }))),
  tx("hop limit 2 is the least that goes out", udp({ ...tx6, ttl: 2 }), sent(udp({ ...tx6, ttl: 1 }))),

  ...silent("spoofed", null, {
    "from a pod of the peer, back to the peer: no reflection": {
      source: "10.5.2.7",
      destination: "10.5.2.9",
    },
    "from a pod of the peer to another peer: no relay": { source: "10.5.2.7", destination: "10.5.3.9" },
    "from a pod of the other peer": { source: "10.5.3.7" },
    "from the peer's .0": { source: "10.5.2.0" },
    "from a pod of the peer to nobody: forging is named": { source: "10.5.2.7", destination: "10.5.77.1" },
    "from a pod of the peer to our own subnet: forging is named": {
      source: "10.5.2.7",
      destination: "10.5.1.99",
    },
    "from a pod of the peer with TTL 1: no error goes to whom others forge": { source: "10.5.2.7", ttl: 1 },
    "from a pod of the peer, IPv6": { source: "fd05:0:0:2::7" },
    "from a pod of the other peer, IPv6": { source: "fd05:0:0:3::7" },
  }),
  ...silent("spoofed", UNDERLAY4, {
    "from the peer's underlay address": { source: "192.0.2.2" },
    "from the underlay address of a peer that is down": { source: "192.0.2.5" },
  }),
  ...silent("spoofed", VXLAN6, {
    "from the peer's IPv6 underlay address": { source: "2001:db8::2" },
    "from the other peer's IPv6 underlay address": { source: "2001:db8::3" },
  }),

  ...silent("martian", null, {
    "from 0.0.0.0": { source: "0.0.0.0" },
    "from loopback": { source: "127.0.0.1" },
    "from a group": { source: "224.0.0.5" },
    "from class E": { source: "240.0.0.1" },
    "from broadcast": { source: "255.255.255.255" },
    "to this network": { destination: "0.0.0.1" },
    "to loopback": { destination: "127.0.0.1" },
    "to class E": { destination: "250.1.2.3" },
    "from ::": { source: "::" },
    "from ::1": { source: "::1" },
    "from IPv6 link-local": { source: "fe80::1" },
    "from an IPv6 group": { source: "ff05::1" },
    "from a mapped address": { source: "::ffff:a05:109" },
    "to ::1": { destination: "::1" },
    "to IPv6 link-local": { destination: "fe80::2" },
    "to a mapped address": { destination: "::ffff:a05:209" },
  }),
  ...silent("bcast_mcast", null, {
    "to all hosts": { destination: "224.0.0.1" },
    "to mDNS": { destination: "224.0.0.251" },
    "to the end of multicast": { destination: "239.255.255.255" },
    "to broadcast": { destination: "255.255.255.255" },
    "to our own subnet's broadcast address": { destination: "10.5.1.255" },
    "a router solicitation's group": { source: "fe80::1", destination: "ff02::2" },
    "to a solicited-node group": { destination: "ff02::1:ff00:1" },
    "to a site's IPv6 group": { destination: "ff05::1:3" },
  }),

  ...silent("family", [labs.udp], {
    "IPv6 to a pod of the peer in the udp format": { destination: "fd05:0:0:2::9" },
    "IPv6 to nobody in the udp format": { destination: "2001:db8:99::7" },
    "IPv6 from a host in the udp format": { source: "2001:db8::1", destination: "fd05:0:0:2::9" },
    "IPv6 with hop limit 1 in the udp format: the family is named": { destination: "fd05:0:0:2::9", ttl: 1 },
  }),
];
