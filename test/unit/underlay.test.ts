/** The choice of the underlay from what a host has; that the host's state is read correctly is shown in test/netns. */
import test from "ava";
import { WeftError } from "../../src/config/errors.js";
import { NetlinkError } from "../../src/linux/netlink.js";
import type { Address, Link, Route } from "../../src/linux/rtnetlink.js";
import { type HostNetwork, type UnderlayOptions, chooseUnderlay } from "../../src/linux/underlay.js";
import { ip, prefix } from "../support/addresses.js";

const TEMPORARY = 0x01;
const RTN_UNREACHABLE = 7;

const link = (ifindex: number, name: string, mtu = 1500): Link => ({
  ifindex,
  name,
  mtu,
  ipv6: true,
  txDropped: 0,
});
const address = (ifindex: number, text: string, flags = 0x80): Address => ({
  ifindex,
  address: prefix(text),
  flags,
});
const route = (destination: string, ifindex: number, more: Partial<Route> = {}): Route => ({
  destination: prefix(destination),
  table: 254,
  protocol: 3,
  type: 1,
  priority: 0,
  ifindex,
  prefSource: null,
  ...more,
});

const links = [
  link(1, "lo", 65536),
  link(2, "eth0"),
  link(3, "eth1", 9000),
  link(4, "weft0", 1450),
  link(5, "eth2"),
];
const addresses = [
  address(1, "127.0.0.1/8"),
  address(1, "::1/128"),
  address(2, "169.254.7.7/16"),
  address(2, "10.0.0.5/24"),
  address(2, "10.0.0.6/24", 0x81),
  address(2, "fe80::1/64"),
  address(2, "2001:db8::dead/64", TEMPORARY),
  address(2, "2001:db8::5/64"),
  address(3, "192.168.1.5/24"),
  address(4, "10.5.32.0/32"),
];
const defaultRoutes = [
  route("0.0.0.0/0", 3, { priority: 600 }),
  route("0.0.0.0/0", 2, { priority: 100 }),
  route("0.0.0.0/0", 3, { table: 100 }),
  route("::/0", 1, { type: RTN_UNREACHABLE }),
  route("::/0", 3),
];

function host(routes: readonly Route[] = defaultRoutes, to?: Route): HostNetwork {
  return {
    links: () => links,
    addresses: () => addresses,
    routes: () => [...routes],
    routeTo: (destination) => {
      if (to !== undefined) return to;
      throw new NetlinkError(`find the route to ${destination.text}`, { errno: -101, text: null });
    },
  };
}

function options(given: Partial<UnderlayOptions>): UnderlayOptions {
  return {
    iface: [],
    ifaceRegex: [],
    ifaceCanReach: null,
    publicIp: null,
    publicIpv6: null,
    tun: "weft0",
    ...given,
  };
}

test("the default route's interface, its first global address, no temporary one", (t) => {
  t.like(chooseUnderlay(host(), options({})), {
    name: "eth0",
    ifindex: 2,
    mtu: 1500,
    address4: { text: "10.0.0.5" },
    address6: { text: "2001:db8::5" },
    publicIp: { text: "10.0.0.5" },
    publicIpv6: { text: "2001:db8::5" },
  });
});

test("IPv6's default route where IPv4 has none; an unreachable one is none", (t) => {
  const routes = [route("::/0", 1, { type: RTN_UNREACHABLE }), route("::/0", 2, { priority: 1024 })];
  t.is(chooseUnderlay(host(routes), options({})).name, "eth0");
});

for (const [what, given, name, address4] of [
  ["a name", { iface: ["eth1"] }, "eth1", "192.168.1.5"],
  ["an address, which it then uses", { iface: ["10.0.0.6"] }, "eth0", "10.0.0.6"],
  [
    "an IPv6 address, with the interface's own IPv4 address",
    { iface: ["2001:db8::dead"] },
    "eth0",
    "10.0.0.5",
  ],
  ["the first name that exists", { iface: ["eth7", "10.9.9.9", "eth1", "eth0"] }, "eth1", "192.168.1.5"],
  ["the first name that has an address", { iface: ["eth2", "eth1"] }, "eth1", "192.168.1.5"],
  ["a pattern of names", { ifaceRegex: ["^eth[1-9]$"] }, "eth1", "192.168.1.5"],
  ["a pattern of addresses, before one of names", { ifaceRegex: ["192|eth0"] }, "eth1", "192.168.1.5"],
  ["names before patterns", { iface: ["eth0"], ifaceRegex: ["eth1"] }, "eth0", "10.0.0.5"],
  ["a public address that is the host's", { publicIp: ip("192.168.1.5") }, "eth1", "192.168.1.5"],
] as const) {
  test(`takes ${what}`, (t) => {
    t.like(chooseUnderlay(host(), options(given)), { name, address4: { text: address4 } });
  });
}

test("takes the way to an address, and the source address used on it", (t) => {
  const to = route("10.0.0.9/32", 2, { prefSource: ip("10.0.0.6") });
  t.like(chooseUnderlay(host([], to), options({ ifaceCanReach: ip("10.0.0.9") })), {
    name: "eth0",
    address4: { text: "10.0.0.6" },
  });
});

test("a public address of another host (1:1 NAT) is published and changes nothing else", (t) => {
  t.like(chooseUnderlay(host(), options({ publicIp: ip("203.0.113.9"), publicIpv6: ip("2001:db8:9::9") })), {
    name: "eth0",
    address4: { text: "10.0.0.5" },
    address6: { text: "2001:db8::5" },
    publicIp: { text: "203.0.113.9" },
    publicIpv6: { text: "2001:db8:9::9" },
  });
});

test("IPv4 link-local when there is nothing else; IPv6 link-local never, as peers could not use it", (t) => {
  const bare: HostNetwork = {
    ...host(),
    addresses: () => [address(2, "169.254.7.7/16"), address(2, "fe80::1/64")],
  };
  t.like(chooseUnderlay(bare, options({})), {
    address4: { text: "169.254.7.7" },
    address6: null,
    publicIpv6: null,
  });
});

for (const [what, network, given, pattern] of [
  ["no default route", host([]), {}, /no default route.*--iface.*eth0 \(10\.0\.0\.5/],
  ["a default route into the TUN", host([route("0.0.0.0/0", 4)]), {}, /no default route/],
  ["an unknown interface", host(), { iface: ["eth7"] }, /fits eth7; this host has .*eth2 \(no address\)/],
  ["the TUN by name", host(), { iface: ["weft0"] }, /fits weft0/],
  ["the TUN by its address", host(), { iface: ["10.5.32.0"] }, /fits 10\.5\.32\.0/],
  ["loopback", host(), { iface: ["lo"] }, /fits lo/],
  ["a pattern that fits only the TUN", host(), { ifaceRegex: ["^weft"] }, /fits \/\^weft\//],
  [
    "a pattern that is none",
    host(),
    { ifaceRegex: ["eth["] },
    /--iface-regex eth\[ is no regular expression/,
  ],
  [
    "an unreachable address",
    host(),
    { ifaceCanReach: ip("8.8.8.8") },
    /--iface-can-reach: .*8\.8\.8\.8: ENETUNREACH/,
  ],
  [
    "an address reached through the TUN",
    host([], route("10.5.1.1/32", 4, { prefSource: ip("10.5.32.0") })),
    { ifaceCanReach: ip("10.5.1.1") },
    /10\.5\.1\.1 is not reached/,
  ],
] as const) {
  test(`refuses ${what}`, (t) => {
    const error = t.throws(() => chooseUnderlay(network, options(given)), { instanceOf: WeftError });
    t.regex(error.message, pattern);
    t.notRegex(error.message.replace(/fits .*?;/, ""), /weft0/, "the TUN is not offered");
  });
}
