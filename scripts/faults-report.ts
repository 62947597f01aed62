/**
 * `npm run faults:report -- bench/results/faults-DATE.jsonl`: writes docs/faults.md from findings that tests and
 * `npm run test:faults` left behind (WEFT_FINDINGS, test/support/findings.ts). Figures are generated, never typed.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { Finding } from "../test/support/findings.js";

const GROUPS = [
  ["C", "Control plane"],
  ["H", "Host"],
  ["W", "Wire"],
] as const;

export function parseFindings(jsonLines: string): Finding[] {
  return jsonLines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Finding);
}

/** The page. Of findings of one row, fault and test, the last one counts. */
export function faultsPage(findings: readonly Finding[], source: string): string {
  const last = new Map(
    findings.map((finding) => [`${finding.row} ${finding.fault} ${finding.test}`, finding]),
  );
  const sorted = [...last.values()].sort((a, b) => number(a) - number(b) || (a.fault < b.fault ? -1 : 1));
  const sections = GROUPS.map(([letter, title]) => {
    const rows = sorted.filter(({ row }) => row.startsWith(letter)).map(line);
    return rows.length === 0 ? "" : `\n## ${title}\n\n${rows.join("\n")}\n`;
  });
  return `# Faults, and what was measured

What goes wrong, what must hold then, and what one run of the tests found. Generated from
[${source.split("/").at(-1) ?? ""}](../${source}) by \`npm run faults:report\`; do not edit. Rows are those of the project's catalogue of
faults. Times are from the fault, or from its end, until all is right again.
${sections.join("")}`;
}

function number({ row }: Finding): number {
  return Number(row.slice(1));
}

function line({ row, fault, bound, measured, test }: Finding): string {
  return `- ${row}: ${fault}. Bound: ${bound}. Measured: **${measured}** (\`${test}\`)`;
}

const [, program = "", source] = process.argv;
if (import.meta.url === pathToFileURL(program).href) {
  if (source === undefined)
    throw new Error("usage: npm run faults:report -- bench/results/faults-DATE.jsonl");
  writeFileSync("docs/faults.md", faultsPage(parseFindings(readFileSync(source, "utf8")), source));
}
