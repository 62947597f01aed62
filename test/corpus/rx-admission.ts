/** Inner addresses of what arrives: who may speak for whom, and what may come in at all. No relay, no pivot, no loop. */
import { DESTINATION_OPTIONS, icmp, ip, type IpFields, pattern, tcp, udp, vxlan } from "../support/craft.js";
import {
  dropped,
  inner,
  type Lab,
  labs,
  mac,
  passes,
  rx,
  rx4,
  rx6,
  type RxCase,
  UNDERLAY4,
  VXLAN,
} from "./case.js";

const VXLAN6 = [labs.vxlan6];

/** Rows that differ in the inner source alone. */
function from(reason: string, sources: Readonly<Record<string, string>>, options?: readonly Lab[]): RxCase[] {
  return Object.entries(sources).map(([name, source]) => {
    const packet = udp({ ...(source.includes(":") ? rx6 : rx4), source });
    return rx(`from ${name}`, inner(packet), dropped(reason), options === undefined ? {} : { labs: options });
  });
}

/** Rows that differ in the inner destination alone. */
function to(
  reason: string,
  destinations: Readonly<Record<string, string>>,
  options?: readonly Lab[],
): RxCase[] {
  return Object.entries(destinations).map(([name, destination]) => {
    const packet = udp({ ...(destination.includes(":") ? rx6 : rx4), destination });
    return rx(`to ${name}`, inner(packet), dropped(reason), options === undefined ? {} : { labs: options });
  });
}

/** UDP to the tunnel's own port. */
function toTunnel(fields: IpFields, contents: Uint8Array | string = "weft") {
  return (lab: Lab): Uint8Array => udp({ ...fields, destinationPort: lab.port }, contents);
}

/** A whole frame of ours inside a frame: what a pod that plays VTEP sends. */
const tunnelled = vxlan(
  { destination: mac("us"), source: mac("peer"), ethertype: 0x0800 },
  udp({ ...rx4, source: "10.5.3.9" }),
);

const port8472 = (fields: IpFields): Uint8Array => udp({ ...fields, destinationPort: 8472 }, tunnelled);
const port8285 = (fields: IpFields): Uint8Array => udp({ ...fields, destinationPort: 8285 }, udp(rx4));

const sources: readonly RxCase[] = [
  passes(
    "from the peer's .0: a NodePort connection masqueraded by its host",
    tcp({ ...rx4, source: "10.5.2.0" }),
  ),
  passes("from the peer's first address: its bridge", udp({ ...rx4, source: "10.5.2.1" })),
  passes("from the last address of the peer's subnet", udp({ ...rx4, source: "10.5.2.254" })),
  passes(
    "from the peer's underlay address: a host-network sender",
    tcp({ ...rx4, source: "192.0.2.2" }),
    UNDERLAY4,
  ),
  passes("from the peer's ::, masqueraded by its host", tcp({ ...rx6, source: "fd05:0:0:2::" })),
  passes(
    "from the far end of the peer's IPv6 subnet",
    udp({ ...rx6, source: "fd05:0:0:2:ffff:ffff:ffff:ffff" }),
  ),
  passes(
    "from the peer's IPv6 underlay address: a host-network sender",
    tcp({ ...rx6, source: "2001:db8::2" }),
    VXLAN6,
  ),
  rx(
    "a packet of the other peer is right from its own host",
    inner(udp({ ...rx4, source: "10.5.3.9" })),
    { kind: "delivered", packets: [{ bytes: udp({ ...rx4, source: "10.5.3.9" }), gsoSize: 0 }] },
    { from: "other" },
  ),
  rx("what is right from one peer is forged from another", inner(udp(rx4)), dropped("spoofed"), {
    from: "other",
  }),

  ...from("spoofed", {
    "a pod of another peer": "10.5.3.9",
    "another peer's .0": "10.5.3.0",
    "the address behind the peer's subnet": "10.5.3.1",
    "a subnet of the overlay that nobody leases": "10.5.77.1",
    "outside the overlay: a client that nobody masqueraded": "198.51.100.7",
    "a private network beside the overlay": "10.6.0.1",
    "link-local, which a host without DHCP has": "169.254.7.7",
    "a pod of another peer, IPv6": "fd05:0:0:3::9",
    "a subnet that nobody leases, IPv6": "fd05:0:0:77::1",
    "outside the overlay, IPv6": "2001:db8:99::7",
    "an IPv4-compatible IPv6 address": "::a05:209",
    "6to4 around the peer's pod": "2002:a05:209::1",
  }),
  ...from(
    "spoofed",
    { "another peer's underlay address": "192.0.2.3", "a stranger's underlay address": "192.0.2.4" },
    UNDERLAY4,
  ),
  ...from(
    "spoofed",
    {
      "another peer's IPv6 underlay address": "2001:db8::3",
      "a stranger's IPv6 underlay address": "2001:db8::4",
    },
    VXLAN6,
  ),
  ...from(
    "spoofed",
    { "an address that the peer's host may have but does not publish": "192.0.2.2" },
    VXLAN6,
  ),

  ...from("martian", {
    "a pod of ours": "10.5.1.7",
    "the pods' gateway: ours": "10.5.1.1",
    "our .0": "10.5.1.0",
    "the destination itself (land)": "10.5.1.2",
    "our subnet's last address": "10.5.1.255",
    "0.0.0.0": "0.0.0.0",
    "this network": "0.1.2.3",
    loopback: "127.0.0.1",
    "the end of loopback": "127.255.255.255",
    multicast: "224.0.0.1",
    "the end of multicast": "239.255.255.255",
    "class E": "240.0.0.1",
    broadcast: "255.255.255.255",
    "a pod of ours, IPv6": "fd05:0:0:1::7",
    "the pods' gateway, IPv6": "fd05:0:0:1::1",
    "the destination itself, IPv6 (land)": "fd05:0:0:1::2",
    "::": "::",
    "::1": "::1",
    "IPv6 multicast": "ff02::1",
    "IPv6 link-local": "fe80::2",
    "the end of IPv6 link-local": "febf:ffff::1",
    "the peer's IPv4 pod, mapped": "::ffff:a05:209",
  }),
  ...from("martian", { "our underlay address": "192.0.2.1" }, UNDERLAY4),
  ...from("martian", { "our IPv6 underlay address": "2001:db8::1" }, VXLAN6),
];

const destinations: readonly RxCase[] = [
  passes("to our .0: the host itself", icmp({ ...rx4, destination: "10.5.1.0" })),
  passes("to the pods' gateway", icmp({ ...rx4, destination: "10.5.1.1" })),
  passes("to the last pod of our subnet", udp({ ...rx4, destination: "10.5.1.254" })),
  passes("to our ::", icmp({ ...rx6, destination: "fd05:0:0:1::" })),
  passes("to the far end of our IPv6 subnet", udp({ ...rx6, destination: "fd05:0:0:1:ffff:ffff:ffff:ffff" })),

  ...to("not_local", {
    "another peer: we are no relay": "10.5.3.9",
    "the sender's own subnet: nothing bounces": "10.5.2.9",
    "the sender's own .0": "10.5.2.0",
    "a subnet that nobody leases": "10.5.77.1",
    "the address below our subnet": "10.5.0.255",
    "the address behind our subnet": "10.5.2.1",
    "the internet": "198.51.100.7",
    "a service network beside the overlay": "10.96.0.1",
    "the cloud's metadata server": "169.254.169.254",
    "another host of the underlay that is no peer": "192.0.2.254",
    "another peer, IPv6": "fd05:0:0:3::9",
    "the sender's own subnet, IPv6": "fd05:0:0:2::9",
    "the address below our IPv6 subnet": "fd05:0:0:0:ffff:ffff:ffff:ffff",
    "the address behind our IPv6 subnet": "fd05:0:0:2::",
    "the internet, IPv6": "2001:db8:99::7",
    "a unique local address beside the overlay": "fd00::1",
  }),
  ...to(
    "nested",
    {
      "our underlay address": "192.0.2.1",
      "the sender's underlay address": "192.0.2.2",
      "another peer's underlay address": "192.0.2.3",
    },
    UNDERLAY4,
  ),
  ...to(
    "nested",
    {
      "our IPv6 underlay address": "2001:db8::1",
      "the sender's IPv6 underlay address": "2001:db8::2",
      "another peer's IPv6 underlay address": "2001:db8::3",
    },
    VXLAN6,
  ),
  rx(
    "an encapsulated packet to our own VTEP's port",
    inner(port8472({ ...rx4, destination: "10.5.1.0" })),
    dropped("nested"),
    { labs: VXLAN },
  ),
  rx(
    "the same to the gateway address",
    inner(port8472({ ...rx4, destination: "10.5.1.1" })),
    dropped("nested"),
    { labs: VXLAN },
  ),
  rx("the same over IPv6", inner(port8472({ ...rx6, destination: "fd05:0:0:1::" })), dropped("nested")),
  rx(
    "the same to the IPv6 gateway address",
    inner(port8472({ ...rx6, destination: "fd05:0:0:1::1" })),
    dropped("nested"),
  ),
  rx(
    "the same behind an IPv6 extension header",
    inner(
      udp({
        ...rx6,
        destination: "fd05:0:0:1::",
        destinationPort: 8472,
        extensions: [DESTINATION_OPTIONS],
      }),
    ),
    dropped("nested"),
  ),
  rx(
    "an encapsulated packet to our own udp port",
    inner(port8285({ ...rx4, destination: "10.5.1.0" })),
    dropped("nested"),
    { labs: [labs.udp] },
  ),
  rx(
    "the same to the gateway address, udp",
    inner(port8285({ ...rx4, destination: "10.5.1.1" })),
    dropped("nested"),
    { labs: [labs.udp] },
  ),
  rx(
    "the first fragment of an encapsulated packet to our port",
    inner(toTunnel({ ...rx4, destination: "10.5.1.0", df: false, more: true }, pattern(24))(labs.vxlan)),
    dropped("nested"),
    { labs: VXLAN },
  ),
  passes(
    "a later fragment to our own address has no port",
    ip(
      { ...rx4, destination: "10.5.1.0", df: false, offset: 64 },
      17,
      Buffer.from([0x21, 0x18, 0x21, 0x18, 0, 8, 0, 0]),
    ),
  ),
  passes("VXLAN between pods", port8472(rx4)),
  passes("VXLAN between pods, IPv6", port8472(rx6)),
  passes("a udp tunnel between pods", port8285(rx4)),
  passes(
    "from the tunnel's port to another one of our own address",
    udp({ ...rx4, destination: "10.5.1.0", sourcePort: 8472 }),
  ),
  passes("TCP to the tunnel's port number", tcp({ ...rx4, destination: "10.5.1.0", destinationPort: 8472 })),
  rx(
    "UDP to the other format's port of our own address",
    inner(port8285({ ...rx4, destination: "10.5.1.0" })),
    { kind: "delivered", packets: [{ bytes: port8285({ ...rx4, destination: "10.5.1.0" }), gsoSize: 0 }] },
    { labs: VXLAN },
  ),

  ...to("martian", {
    "0.0.0.0": "0.0.0.0",
    "this network": "0.1.2.3",
    loopback: "127.0.0.1",
    "class E": "240.0.0.1",
    "::": "::",
    "::1": "::1",
    "IPv6 link-local": "fe80::1",
    "our pod's IPv4 address, mapped": "::ffff:a05:102",
  }),
  ...to("bcast_mcast", {
    "all hosts": "224.0.0.1",
    mDNS: "224.0.0.251",
    "the end of multicast": "239.255.255.255",
    broadcast: "255.255.255.255",
    "our subnet's broadcast address": "10.5.1.255",
    "all IPv6 nodes": "ff02::1",
    "a site's group": "ff05::2",
    "a global group": "ff0e::1234",
  }),
  rx(
    "forged, and to another peer: forging is named",
    inner(udp({ source: "10.5.3.9", destination: "10.5.3.10" })),
    dropped("spoofed"),
  ),
  rx(
    "forged, and to our underlay address: forging is named",
    inner(udp({ source: "10.5.3.9", destination: "192.0.2.1" })),
    dropped("spoofed"),
    { labs: UNDERLAY4 },
  ),
  rx(
    "from nowhere to a group, IPv6: the group is named",
    inner(udp({ source: "::", destination: "ff02::1" })),
    dropped("bcast_mcast"),
  ),
];

export const admission: readonly RxCase[] = [...sources, ...destinations];
