/**
 * docs/counters.md is held to the tables that the native code is made from, and to the one counter that is not in
 * them: every name, direction and sentence.
 */
import { readFileSync } from "node:fs";
import test from "ava";
import { TUN_QUEUE_LOST } from "../../src/report.js";

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

/** The cells of each row of a page's tables whose first cell is code, the rest of the row cut off after `width` cells. */
function rows(page: string, width: number): string[][] {
  return page
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").slice(1, width + 1))
    .map((cells) => cells.map((cell) => cell.trim().replaceAll("`", "")));
}

test("docs/counters.md lists every drop reason and every counter with its sentence", (t) => {
  const [dropTable, counterTable] = [read("native/core/drop_reasons.def"), read("native/core/counters.def")];
  const drops = [...dropTable.matchAll(/^DROP\((\w+), (TX|RX|TX \| RX), "(.+)"\)$/gm)].map(
    ([, name = "", direction = "", sentence = ""]) => {
      return [name, direction === "TX | RX" ? "both" : direction.toLowerCase(), sentence];
    },
  );
  const counters = [...counterTable.matchAll(/^COUNTER\(\w+, (\w+), (TX|RX), "(\w+)", "(.+)"\)$/gm)].map(
    ([, name = "", direction = "", kind = "", sentence = ""]) => {
      return [name, direction.toLowerCase(), kind, sentence];
    },
  );
  // Nothing was overlooked for being written differently.
  t.is(drops.length, [...dropTable.matchAll(/^DROP\(/gm)].length);
  t.is(counters.length, [...counterTable.matchAll(/^COUNTER\(/gm)].length);
  const [reasons = "", others = ""] = read("docs/counters.md").split("## The other counters");
  t.deepEqual(rows(reasons, 3), drops);
  const { name, direction, kind, description } = TUN_QUEUE_LOST;
  t.deepEqual(rows(others, 4), [...counters, [name, direction, kind, description]]);
});
