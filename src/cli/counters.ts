/** `weft counters`: what became of every packet. */
import type { CounterStatus } from "../observe/status.js";
import { question } from "./command.js";
import { table } from "./format.js";

export const counters = question<readonly CounterStatus[]>({
  name: "counters",
  summary: "what became of every packet, drops by reason",
  help: "Prints the dataplane's counters that are not zero. tx is from the pods to other hosts, rx the\nreverse; in each, in = forwarded + consumed + drops, every drop under exactly one reason.",
  all: "also counters that are zero",
  print: (answer, all) =>
    table<CounterStatus>(
      [
        { title: "DIR", text: ({ direction }) => direction },
        { title: "KIND", text: ({ kind }) => kind },
        { title: "COUNTER", text: ({ name }) => name },
        { title: "VALUE", right: true, text: ({ value }) => `${value}` },
        { title: "MEANING", text: ({ description }) => description },
      ],
      answer.filter(({ kind, value }) => all || value > 0 || kind === "in" || kind === "forwarded"),
    ),
});
