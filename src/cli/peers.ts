/** `weft peers`: the other nodes, and what went to and came from each. */
import type { PeerStatus } from "../observe/status.js";
import { question } from "./command.js";
import { bytes, duration, table } from "./format.js";

export const peers = question<readonly PeerStatus[]>({
  name: "peers",
  summary: "the other nodes, and the traffic with each",
  help: "Prints one line per tunnel endpoint or alias. HEARD is the time since its last packet, ERRORS counts\nfailed sends and ICMP errors about it, MTU is what its path takes, outer headers included, if known.",
  print: (answer) =>
    answer.length === 0
      ? "no peers: no other node has a usable lease ('weft status' lists the unusable ones)\n"
      : table<PeerStatus>(
          [
            { title: "NODE", text: ({ node }) => node },
            { title: "ENDPOINT", text: ({ address }) => address },
            { title: "MAC", text: ({ mac }) => mac ?? "-" },
            { title: "SUBNETS", text: ({ subnets }) => subnets.join(" ") },
            { title: "TX PACKETS", right: true, text: ({ txPackets }) => `${txPackets}` },
            { title: "TX", right: true, text: ({ txBytes }) => bytes(txBytes) },
            { title: "RX PACKETS", right: true, text: ({ rxPackets }) => `${rxPackets}` },
            { title: "RX", right: true, text: ({ rxBytes }) => bytes(rxBytes) },
            { title: "ERRORS", right: true, text: ({ errors }) => `${errors}` },
            { title: "MTU", right: true, text: ({ pathMtu }) => `${pathMtu ?? "-"}` },
            { title: "HEARD", right: true, text: heard },
          ],
          answer,
        ),
});

function heard({ lastReceivedSeconds }: PeerStatus): string {
  return lastReceivedSeconds === null ? "never" : `${duration(lastReceivedSeconds)} ago`;
}
