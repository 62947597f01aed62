/**
 * What tests find out about the rows of the fault catalogue. With WEFT_FINDINGS set to a file, each finding is
 * appended to it as a line of JSON; docs/faults.md is made of such a file.
 */
import { appendFileSync } from "node:fs";

export interface Finding {
  /** The row: "C12", "H1", "W30". */
  readonly row: string;
  /** The fault, and the test that injects it. */
  readonly fault: string;
  readonly test: string;
  /** What must hold, and what was found in this run, with units. */
  readonly bound: string;
  readonly measured: string;
}

export function recordFinding(finding: Finding): void {
  const file = process.env["WEFT_FINDINGS"];
  if (file !== undefined && file !== "") appendFileSync(file, `${JSON.stringify(finding)}\n`);
}
