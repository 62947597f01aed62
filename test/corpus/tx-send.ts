/** When the underlay refuses: nodes whose hosts cannot be reached, each in a way of its own (lab.ts sets them up). */
import { pattern, tcp, udp } from "../support/craft.js";
import { dropped, hosts, tx, tx4, tx6, type TxCase, type Who } from "./case.js";

function to(who: Who): { readonly source: string; readonly destination: string } {
  return { ...tx4, destination: `10.5.${hosts[who]}.9` };
}
function to6(who: Who): { readonly source: string; readonly destination: string } {
  return { ...tx6, destination: `fd05:0:0:${hosts[who]}::9` };
}

export const refusals: readonly TxCase[] = [
  tx("to a peer that no route leads to", udp(to("unreachable")), dropped("send_failed")),
  tx("to a peer that a route forbids", udp(to("prohibited")), dropped("send_failed")),
  tx("TCP to a peer that no route leads to", tcp(to("unreachable")), dropped("send_failed")),
  tx("IPv6 to a peer that no route leads to", udp(to6("unreachable")), dropped("send_failed")),
  tx(
    "several packets to a peer that a route forbids",
    [1, 2, 3].map((n) => udp(to("prohibited"), pattern(n))),
    dropped("send_failed"),
  ),

  tx("to a peer behind a queue that is full", udp(to("choked")), dropped("send_queue_full")),
  tx(
    "TCP to a peer behind a queue that is full",
    tcp(to("choked"), pattern(1000)),
    dropped("send_queue_full"),
  ),
  tx("IPv6 to a peer behind a queue that is full", udp(to6("choked")), dropped("send_queue_full")),
];
