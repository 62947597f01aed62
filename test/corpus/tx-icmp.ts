/**
 * About what errors are sent, and about what never (RFC 1122 3.2.2, RFC 1812 4.3.2.7, RFC 4443 2.4): each row is a
 * packet to a subnet that nobody leases.
 */
import {
  fragmentHeader,
  HOP_BY_HOP,
  icmp,
  icmpError,
  ip,
  type IpFields,
  pattern,
  tcp,
  udp,
} from "../support/craft.js";
import { dropped, tx, type TxCase, type TxOutcome } from "./case.js";

let senders = 100;
/** A sender of its own per row, since errors to one are limited. */
const from4 = (): IpFields => ({ source: `10.5.1.${++senders}`, destination: "10.5.77.1" });
const from6 = (): IpFields => ({ source: `fd05:0:0:1::${++senders}`, destination: "fd05:0:0:77::1" });

function error(packet: Uint8Array): TxOutcome {
  const six = (packet[0] ?? 0) >> 4 === 6;
  const about = six ? icmpError("fd05:0:0:1::", 1, 0, packet) : icmpError("10.5.1.0", 3, 0, packet);
  return { kind: "dropped", reason: "no_route", icmp: about };
}

const told = (name: string, packet: Uint8Array): TxCase => tx(`told: ${name}`, packet, error(packet));
const untold = (name: string, packet: Uint8Array): TxCase =>
  tx(`not told: ${name}`, packet, dropped("no_route"));

const quoted = udp({ source: "10.5.77.1", destination: "10.5.1.2" });

export const errors: readonly TxCase[] = [
  told("the sender of a UDP packet", udp(from4())),
  told("the sender of a packet without contents", ip(from4(), 17, new Uint8Array())),
  told("the sender of a TCP packet", tcp({ ...from4(), flags: 2 })),
  told("the sender of a TCP reset, which RFC 1122 does not except", tcp({ ...from4(), flags: 4 })),
  told("the sender of an echo request", icmp(from4())),
  told("the sender of an echo reply", icmp({ ...from4(), type: 0 })),
  told("the sender of a timestamp request", icmp({ ...from4(), type: 13 })),
  told("the sender of an unknown protocol", ip(from4(), 253, pattern(40))),
  told("the sender of a first fragment", udp({ ...from4(), df: false, more: true }, pattern(24))),
  told("the sender of a packet with options", udp({ ...from4(), options: [148, 4, 0, 0] })),
  told("the sender of 547 bytes, all quoted", udp(from4(), pattern(547 - 28))),
  told("the sender of 548 bytes, all quoted", udp(from4(), pattern(548 - 28))),
  told("the sender of 549 bytes, all but one quoted", udp(from4(), pattern(549 - 28))),
  told("the sender of 1400 bytes, 548 of them quoted", tcp(from4(), pattern(1400 - 40))),
  told("the sender of an IPv6 packet", udp(from6())),
  told("the sender of a TCP packet over IPv6", tcp({ ...from6(), flags: 2 })),
  told("the sender of an ICMPv6 echo request", icmp(from6())),
  told("the sender of an unknown informational ICMPv6 message", icmp({ ...from6(), type: 200 })),
  told(
    "the sender of an IPv6 first fragment",
    udp({ ...from6(), extensions: [fragmentHeader(0, true)] }, pattern(24)),
  ),
  told("the sender of 1232 bytes of IPv6, all quoted", udp(from6(), pattern(1232 - 48))),
  told("the sender of 1233 bytes of IPv6, all but one quoted", udp(from6(), pattern(1233 - 48))),
  told("the sender of 1400 bytes of IPv6, 1232 of them quoted", tcp(from6(), pattern(1400 - 60))),

  ...[3, 4, 5, 11, 12].map((type) =>
    untold(`about the ICMP error of type ${type}`, icmp({ ...from4(), type }, quoted)),
  ),
  untold("about ICMP too short to tell", ip(from4(), 1, new Uint8Array())),
  untold("about a middle fragment", ip({ ...from4(), df: false, more: true, offset: 8 }, 17, pattern(16))),
  untold("about a last fragment", ip({ ...from4(), df: false, offset: 1480 }, 17, pattern(16))),
  untold(
    "a sender that is no single host: our broadcast address",
    udp({ source: "10.5.1.255", destination: "10.5.77.1" }),
  ),
  ...[1, 2, 3, 4, 127].map((type) =>
    untold(`about the ICMPv6 error of type ${type}`, icmp({ ...from6(), type }, quoted)),
  ),
  untold("about an ICMPv6 redirect", icmp({ ...from6(), type: 137 }, pattern(32))),
  untold(
    "about an ICMPv6 error behind an extension header",
    icmp({ ...from6(), type: 1, extensions: [HOP_BY_HOP] }, quoted),
  ),
  untold("about ICMPv6 too short to tell", ip(from6(), 58, new Uint8Array())),
  untold(
    "about an IPv6 later fragment",
    ip({ ...from6(), extensions: [fragmentHeader(8, true)] }, 17, pattern(16)),
  ),
  untold(
    "about an IPv6 later fragment of an ICMPv6 error",
    ip({ ...from6(), extensions: [fragmentHeader(64, false)] }, 58, pattern(16)),
  ),
];
