/** What faults measure of the accounts of both directions; less is better. */
import type { WireAccount, WireDirection } from "../support/wire.js";
import type { Accounts } from "./bench.js";

/** Refuses the figures of a fault that did not take place. */
export function mustHappen(what: string, happened: boolean): void {
  if (!happened) throw new Error(`there was no ${what}: the bounds say nothing`);
}

/** The sum of a row of both accounts. */
export function total(
  accounts: Accounts,
  row: "sent" | "lost" | "duplicated" | "corrupt" | "reordered",
): number {
  return accounts[0][row] + accounts[1][row];
}

/** What a path that is innocent does to no packet. */
export function harm(accounts: Accounts): Record<"lost" | "duplicated" | "corrupt" | "reordered", number> {
  return {
    lost: total(accounts, "lost"),
    duplicated: total(accounts, "duplicated"),
    corrupt: total(accounts, "corrupt"),
    reordered: total(accounts, "reordered"),
  };
}

/** Losses without an owner, in either direction; and losses counted that did not happen. */
export function unexplained(accounts: Accounts): number {
  return Math.abs(accounts[0].unexplained) + Math.abs(accounts[1].unexplained);
}

/** The sum over both directions of what a row says of the wire. */
export function wireTotal(
  report: Readonly<Record<WireDirection, WireAccount>>,
  ...rows: (keyof WireAccount)[]
): number {
  return rows.reduce((sum, row) => sum + report.from[row] + report.to[row], 0);
}

/** The longest time in which packets were under way and none arrived, in either direction. */
export function silenceMs(accounts: Accounts): number {
  return Math.max(...accounts.map(({ silenceUs }) => silenceUs)) / 1000;
}
