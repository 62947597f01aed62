/**
 * What the kernel leaves undone when it hands packets to a device that does it: checksums to complete, super-packets
 * to cut, and headers about these that contradict the packet.
 */
import { DESTINATION_OPTIONS, ip, pattern, tcp, type TcpFields, udp } from "../support/craft.js";
import {
  ALL,
  dropped,
  type Lab,
  type Offload,
  sent,
  sentTo,
  tx,
  tx4,
  tx6,
  type TxCase,
  VXLAN,
} from "./case.js";
import { fragments, tooBig } from "./tx-size.js";

const TCP_SUM = 16;
const UDP_SUM = 6;

function checksum(start: number, offset: number): Offload {
  return { gsoSize: 0, start, offset };
}

function whole(
  name: string,
  make: (sum: "partial" | "right", ttl: number) => Uint8Array,
  offload: Offload,
): TxCase {
  return tx(`unfinished checksum: ${name}`, make("partial", 64), sent(make("right", 63)), { offload });
}

/** A TCP super-packet and the segments it is cut into: flags on the first or last, sequence and id counted up. */
function tcpRun(name: string, fields: TcpFields, size: number, total: number, id = 100): TxCase {
  const six = fields.source.includes(":");
  const data = pattern(total);
  const header = six ? 40 : 20;
  const flags = fields.flags ?? 0x10;
  const count = Math.ceil(total / size);
  const segments = Array.from({ length: count }, (_, i) => {
    const only = (i < count - 1 ? ~0x09 : ~0) & (i > 0 ? ~0x80 : ~0);
    return tcp(
      { ...fields, ttl: 63, id: id + i, seq: 1000 + i * size, flags: flags & only },
      data.subarray(i * size, (i + 1) * size),
    );
  });
  return tx(name, tcp({ ...fields, id, seq: 1000, sum: "partial" }, data), sent(...segments), {
    offload: { gsoSize: size, start: header, offset: TCP_SUM },
    labs: six ? VXLAN : ALL,
  });
}

function udpRun(name: string, fields: typeof tx4 | typeof tx6, size: number, total: number): TxCase {
  const six = fields === tx6;
  const data = pattern(total);
  const count = Math.ceil(total / size);
  const segments = Array.from({ length: count }, (_, i) =>
    udp({ ...fields, ttl: 63, id: 9 + i }, data.subarray(i * size, (i + 1) * size)),
  );
  return tx(name, udp({ ...fields, id: 9, sum: "partial" }, data), sent(...segments), {
    offload: { gsoSize: size, start: six ? 40 : 20, offset: UDP_SUM },
    labs: six ? VXLAN : ALL,
  });
}

/** Super-packets whose segments are larger than the tunnel's MTU. */

const wideRun = tcp({ ...tx4, sum: "partial" }, pattern(8000));
const wideRun6 = tcp({ ...tx6, sum: "partial" }, pattern(8000));
const behindExtension = udp({
  ...tx6,
  sum: "partial",
  extensions: [DESTINATION_OPTIONS],
});
const loose = { ...tx4, df: false } as const;

export const offloads: readonly TxCase[] = [
  whole("TCP", (sum, ttl) => tcp({ ...tx4, sum, ttl }), checksum(20, TCP_SUM)),
  whole("UDP", (sum, ttl) => udp({ ...tx4, sum, ttl }), checksum(20, UDP_SUM)),
  whole("TCP over IPv6", (sum, ttl) => tcp({ ...tx6, sum, ttl }), checksum(40, TCP_SUM)),
  whole("UDP over IPv6", (sum, ttl) => udp({ ...tx6, sum, ttl }), checksum(40, UDP_SUM)),
  whole(
    "TCP behind options",
    (sum, ttl) => tcp({ ...tx4, sum, ttl, options: [148, 4, 0, 0] }),
    checksum(24, TCP_SUM),
  ),
  whole("an odd number of bytes", (sum, ttl) => udp({ ...tx4, sum, ttl }, "odd"), checksum(20, UDP_SUM)),
  whole("no data at all", (sum, ttl) => udp({ ...tx4, sum, ttl }, ""), checksum(20, UDP_SUM)),
  tx(
    "an unfinished checksum is finished before the packet is cut into fragments",
    () => udp({ ...loose, id: 3, sum: "partial" }, pattern(2000)),
    (lab: Lab) => {
      const body = udp({ ...loose, id: 3 }, pattern(2000)).subarray(20);
      return sentTo("peer", ...fragments({ ...loose, id: 3, ttl: 63 }, 17, body, lab.mtu));
    },
    { offload: checksum(20, UDP_SUM) },
  ),

  tcpRun("a TCP super-packet of three segments", tx4, 1000, 3000),
  tcpRun("a TCP super-packet with a short end", tx4, 1000, 2001),
  tcpRun("a TCP super-packet of 64 segments", tx4, 900, 57_600),
  tcpRun("a TCP super-packet with FIN and PSH, which only the end has", { ...tx4, flags: 0x19 }, 500, 1500),
  tcpRun("a TCP super-packet with CWR, which only the start has", { ...tx4, flags: 0x90 }, 500, 1500),
  tcpRun("a TCP super-packet with ECE, which all have", { ...tx4, flags: 0x50, tos: 2 }, 500, 1500),
  tcpRun(
    "a TCP super-packet with 40 bytes of options",
    { ...tx4, tcpOptions: Array<number>(40).fill(1) },
    500,
    1500,
  ),
  tcpRun("a TCP super-packet whose identification wraps", { ...tx4, df: false }, 500, 1000, 0xfffe),
  tcpRun("a TCP super-packet over IPv6", tx6, 1000, 3500),
  udpRun("a UDP super-packet", tx4, 1000, 3000),
  udpRun("a UDP super-packet with a short end", tx4, 1000, 2500),
  udpRun("a UDP super-packet of one byte each", tx4, 1, 16),
  udpRun("a UDP super-packet over IPv6", tx6, 700, 3000),

  ...Object.entries({
    "a checksum that starts behind the TCP header's beginning": [
      tcp({ ...tx4, sum: "partial" }),
      22,
      TCP_SUM,
    ],
    "a checksum that starts where a longer header would end": [tcp({ ...tx4, sum: "partial" }), 24, TCP_SUM],
    "a checksum that starts where an IPv6 header would end": [
      tcp({ ...tx4, sum: "partial" }, pattern(60)),
      40,
      TCP_SUM,
    ],
    "a checksum in the padding behind the packet": [padded(udp({ ...tx4, sum: "partial" }), 40), 20, 30],
    "a checksum field that the packet's end cuts in two": [padded(ip(tx4, 17, pattern(7)), 8), 20, UDP_SUM],
    "a checksum that starts behind the UDP header's beginning, IPv6": [
      udp({ ...tx6, sum: "partial" }),
      44,
      UDP_SUM,
    ],
    "a checksum that starts where options would end, in front of an extension header": [
      behindExtension,
      40,
      UDP_SUM,
    ],
  } as const).map(([name, [packet, start, offset]]) =>
    tx(name, packet, dropped("bad_offload"), { offload: checksum(start, offset) }),
  ),
  tx(
    "a super-packet of segments larger than the tunnel's MTU, with DF",
    wideRun,
    (lab) => tooBig(wideRun, lab.mtu),
    {
      offload: { gsoSize: 2000, start: 20, offset: TCP_SUM },
    },
  ),
  tx(
    "a super-packet over IPv6 of segments larger than the tunnel's MTU",
    wideRun6,
    (lab) => tooBig(wideRun6, lab.mtu),
    {
      offload: { gsoSize: 2000, start: 40, offset: TCP_SUM },
    },
  ),
  tx(
    "a super-packet of segments larger than the tunnel's MTU, without DF: each is cut",
    tcp({ ...loose, id: 40, sum: "partial" }, pattern(4000)),
    (lab) => sentTo("peer", ...[0, 1].flatMap((i) => fragmentsOf(i, lab))),
    { offload: { gsoSize: 2000, start: 20, offset: TCP_SUM } },
  ),
];

/** The i-th segment of 2000 bytes, and its fragments. */
function fragmentsOf(i: number, lab: Lab): Uint8Array[] {
  const fields = { ...loose, id: 40 + i, ttl: 63 };
  const body = tcp(
    { ...fields, seq: 1 + i * 2000 },
    pattern(4000).subarray(i * 2000, (i + 1) * 2000),
  ).subarray(20);
  return fragments(fields, 6, body, lab.mtu);
}

function padded(packet: Uint8Array, by: number): Uint8Array {
  return Buffer.concat([packet, Buffer.alloc(by)]);
}
