/** `weft routes`: the table that packets are looked up in. */
import type { RouteStatus } from "../observe/status.js";
import { question } from "./command.js";
import { table } from "./format.js";

export const routes = question<readonly RouteStatus[]>({
  name: "routes",
  summary: "the table that packets are looked up in",
  help: "Prints one line per prefix; the longest one that contains a destination decides. `local` is\nthis host's own subnet.",
  print: (answer) =>
    table<RouteStatus>(
      [
        { title: "PREFIX", text: ({ prefix }) => prefix },
        { title: "KIND", text: ({ kind }) => kind },
        { title: "VIA", text: ({ via }) => via ?? "-" },
        { title: "NODE", text: ({ node }) => node ?? "-" },
      ],
      answer,
    ),
});
