/**
 * Requests are compared with those of iproute2 6.1, taken from its sendmsg calls (sequence number set to 1); where weft
 * asks for more than `ip` can, by hand from the kernel's headers. Answers are what Linux 6.18 said. Little-endian.
 */
import { endianness } from "node:os";
import anyTest from "ava";
import { parseEnding, parseMessages } from "../../src/linux/netlink-message.js";
import {
  addressAdd,
  addressDelete,
  linkConfigure,
  linkUp,
  parseAddress,
  parseLink,
  parseRoute,
  routeAdd,
  routeDelete,
  routeGet,
} from "../../src/linux/rtnetlink.js";
import { ip, prefix } from "../support/addresses.js";

const test = endianness() === "LE" ? anyTest : anyTest.skip;

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ""), "hex"));
}

const requests: readonly (readonly [string, Uint8Array, string])[] = [
  [
    "ip addr add 10.5.32.0/32 dev weft0",
    addressAdd(2, prefix("10.5.32.0/32")),
    `28000000 1400 0506 01000000 00000000
     02200000 02000000  08000200 0a052000  08000100 0a052000`,
  ],
  [
    "ip addr add fd05:0:0:4e::/128 dev weft0 nodad",
    addressAdd(2, prefix("fd05:0:0:4e::/128")),
    `40000000 1400 0506 01000000 00000000
     0a800200 02000000  14000200 fd0500000000004e0000000000000000  14000100 fd0500000000004e0000000000000000`,
  ],
  [
    "ip addr del fd05:0:0:4e::/128 dev weft0",
    addressDelete(2, prefix("fd05:0:0:4e::/128")),
    `40000000 1500 0500 01000000 00000000
     0a800000 02000000  14000200 fd0500000000004e0000000000000000  14000100 fd0500000000004e0000000000000000`,
  ],
  [
    "ip link set weft0 up",
    linkUp(2),
    `20000000 1000 0500 01000000 00000000
     00000000 02000000 01000000 01000000`,
  ],
  [
    // By hand, of two requests of ip and IFLA_INET_CONF, which ip cannot send:
    // IFLA_MTU, IFLA_TXQLEN, IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { ACCEPT_LOCAL: 1 } }, AF_INET6 { ADDR_GEN_MODE: 1 } }
    "ip link set weft0 mtu 1450 txqueuelen 2000 addrgenmode none, and accept_local",
    linkConfigure(2, { mtu: 1450, txQueueLength: 2000, ipv6: true }),
    `50000000 1000 0500 01000000 00000000
     00000000 02000000 00000000 00000000
     08000400 aa050000  08000d00 d0070000
     20001a00  10000200 0c000100 08001700 01000000  0c000a00 05000800 01000000`,
  ],
  [
    "the same on a host without IPv6",
    linkConfigure(2, { mtu: 1450, txQueueLength: 2000, ipv6: false }),
    `44000000 1000 0500 01000000 00000000
     00000000 02000000 00000000 00000000
     08000400 aa050000  08000d00 d0070000
     14001a00  10000200 0c000100 08001700 01000000`,
  ],
  [
    "ip route add 10.5.0.0/16 dev weft0 proto 87 scope link",
    routeAdd(2, prefix("10.5.0.0/16")),
    `2c000000 1800 0506 01000000 00000000
     02100000 fe57fd01 00000000  08000100 0a050000  08000400 02000000`,
  ],
  [
    "ip -6 route add fd05::/48 dev weft0 proto 87",
    routeAdd(2, prefix("fd05::/48")),
    `38000000 1800 0506 01000000 00000000
     0a300000 fe570001 00000000  14000100 fd050000000000000000000000000000  08000400 02000000`,
  ],
  [
    // ip leaves the type out (0), which the kernel takes as any; weft names its own.
    "ip route del 10.5.0.0/16 dev weft0 proto 87 type unicast",
    routeDelete(2, prefix("10.5.0.0/16")),
    `2c000000 1900 0500 01000000 00000000
     02100000 fe57ff01 00000000  08000100 0a050000  08000400 02000000`,
  ],
];

for (const [command, request, expected] of requests) {
  test(`asks as \`${command}\` does`, (t) => t.deepEqual(new Uint8Array(request), bytes(expected)));
}

test("asks for a route by its destination", (t) => {
  const [question] = parseMessages(new Uint8Array(routeGet(ip("fd05::1"))));
  t.is(question?.type, 26);
  t.deepEqual(question?.body.subarray(0, 2), bytes("0a80"));
  t.deepEqual(question?.body.subarray(12), bytes("14000100 fd050000000000000000000000000001"));
});

test("reads addresses: own end of a point-to-point link, and the flags that do not fit a byte", (t) => {
  const peer = parseAddress(
    bytes("0220800004000000 080001000a630002 080002000a630001 0700030076610000 0800080080000000"),
  );
  t.like(peer, { ifindex: 4, address: { text: "10.99.0.1/32" }, flags: 0x80 });
  const global6 = parseAddress(
    bytes("0a40820003000000 14000100fd990000000000000000000000000001 0800080082000100"),
  );
  t.like(global6, { ifindex: 3, address: { text: "fd99::1/64" }, flags: 0x10082 });
  t.is(parseAddress(bytes("1c20800004000000 080001000a630002")), null, "another family");
});

test("reads routes: prefix, device, gateway route, next hops, blackhole", (t) => {
  const onLink =
    "02200000fe02fd0100000000 08000f00fe000000 080001000a630002 080007000a630001 0800040004000000";
  t.like(parseRoute(bytes(onLink)), {
    destination: { text: "10.99.0.2/32" },
    table: 254,
    protocol: 2,
    type: 1,
    priority: 0,
    ifindex: 4,
    prefSource: { text: "10.99.0.1" },
  });
  const default6 =
    "0a000000fe03000100000000 08000f00fe000000 0800060007000000 14000500fd990000000000000000000000000002 0800040003000000";
  t.like(parseRoute(bytes(default6)), {
    destination: { text: "::/0" },
    priority: 7,
    ifindex: 3,
    prefSource: null,
  });
  const multipath =
    "02000000fe03000100000000 08000f00fe000000 24000900 1000000004000000080005000a630002 1000010405000000080005000a630003";
  t.like(parseRoute(bytes(multipath)), { destination: { text: "0.0.0.0/0" }, ifindex: 4 });
  const blackhole = "02100000fe03000600000000 08000f00fe000000 080001000a070000 0800060005000000";
  t.like(parseRoute(bytes(blackhole)), { type: 6, ifindex: null });
  t.is(parseRoute(bytes("1c100000fe03000600000000")), null, "another family");
});

test("a link has IPv6 only when the kernel lists its settings and they do not disable it", (t) => {
  // IFLA_IFNAME "weft0", IFLA_MTU 1450
  const plain = "00000100 02000000 51000000 00000000  0a000300 776566743000 0000  08000400 aa050000";
  // IFLA_AF_SPEC { AF_INET6 { IFLA_INET6_CONF: 27 numbers, the last of which is disable_ipv6 } }
  const inet6 = (disabled: string) => `78001a00 74000a00 70000200 ${"00000000".repeat(26)} ${disabled}`;
  t.deepEqual(parseLink(bytes(plain)), { ifindex: 2, name: "weft0", mtu: 1450, ipv6: false, txDropped: 0 });
  t.true(parseLink(bytes(plain + inet6("00000000"))).ipv6);
  t.false(parseLink(bytes(plain + inet6("01000000"))).ipv6);
});

test("reads how many packets a link dropped on the way out", (t) => {
  // IFLA_STATS64: rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped, …
  const numbers = [1, 2, 3, 4, 5, 6, 7, 0x1_0000_0008, 9].map((value) => {
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(BigInt(value));
    return word.toString("hex");
  });
  const stats = `4c001700 ${numbers.join(" ")}`;
  t.is(parseLink(bytes(`00000100 02000000 51000000 00000000 ${stats}`)).txDropped, 0x1_0000_0008);
});

test("reads the end of an answer, with the kernel's own words", (t) => {
  const end = (hex: string) => parseMessages(bytes(hex)).map(parseEnding);
  t.deepEqual(end("14000000 0300 0200 01000000 00000000 00000000"), [{ errno: 0, text: null }]);
  t.deepEqual(
    end("24000000 0200 0001 01000000 00000000 edffffff 2c000000 1800 0506 01000000 00000000"),
    [{ errno: -19, text: null }],
    "without words",
  );
  const words = "1b000100 697076343a20446576696365206e6f7420666f756e640000";
  t.deepEqual(
    end(`40000000 0200 0003 01000000 00000000 edffffff 28000000 1400 0506 01000000 00000000 ${words}`),
    [{ errno: -19, text: "ipv4: Device not found" }],
    "without the request",
  );
  t.deepEqual(
    end(
      `44000000 0200 0002 01000000 00000000 edffffff 14000000 1400 0506 01000000 00000000 01020304 ${words}`,
    ),
    [{ errno: -19, text: "ipv4: Device not found" }],
    "with the request, from a kernel that does not cap",
  );
});

test("a message or attribute that claims more than there is ends the reading", (t) => {
  const complete = "14000000 0300 0200 01000000 00000000 00000000";
  t.is(parseMessages(bytes(complete + complete)).length, 2);
  t.is(parseMessages(bytes(complete + complete).subarray(0, 39)).length, 1);
  t.is(parseMessages(bytes("00000000 0300 0200 01000000 00000000")).length, 0);
  t.like(parseRoute(bytes("02100000fe03000600000000 080001000a070000 ffff0400 05000000")), {
    destination: { text: "10.7.0.0/16" },
    ifindex: null,
  });
});
