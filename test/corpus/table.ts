/** All cases, in the order in which they run, and the reasons that none of them can provoke. */
import type { RxCase, TxCase } from "./case.js";
import { headers } from "./ip-header.js";
import { checksums, fragments } from "./ip-payload.js";
import { admission } from "./rx-admission.js";
import { contents, refusedByTun } from "./rx-content.js";
import { frames } from "./rx-frame.js";
import { neighbours } from "./rx-neighbour.js";
import { senders } from "./rx-sender.js";
import { errors } from "./tx-icmp.js";
import { offloads } from "./tx-offload.js";
import { routes } from "./tx-route.js";
import { refusals } from "./tx-send.js";
import { paths, sizes } from "./tx-size.js";

const bothWays = [...headers, ...fragments, ...checksums];

export const rxCases: readonly RxCase[] = [
  ...senders,
  ...frames,
  ...neighbours,
  ...bothWays.map((row) => row.rx),
  ...admission,
  ...contents,
  ...refusedByTun,
];

export const txCases: readonly TxCase[] = [
  ...bothWays.map((row) => row.tx),
  ...routes,
  ...errors,
  ...sizes,
  ...paths,
  ...offloads,
  ...refusals,
];

/** Drop reasons that nothing sent from outside can provoke, and why. */
export const unprovoked: ReadonlyMap<string, string> = new Map([
  ["tx not_ready", "the workers start after the first tables have been set"],
  ["rx not_ready", "the workers start after the first tables have been set"],
  [
    "rx oversize",
    "the receive buffer holds more than a UDP datagram can: it stands for a kernel that cuts one",
  ],
]);

/** How many cases provoke each reason, by direction and name. */
export function provoked(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const all = [
    ...rxCases.flatMap(({ labs, outcome }) => labs.slice(0, 1).map((lab) => ["rx", outcome(lab)] as const)),
    ...txCases.flatMap(({ labs, outcome }) => labs.slice(0, 1).map((lab) => ["tx", outcome(lab)] as const)),
  ];
  for (const [direction, outcome] of all) {
    if (outcome.kind !== "dropped") continue;
    const name = `${direction} ${outcome.reason}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
