/** How answers look on a terminal: aligned columns, humane units, a little colour where there is someone to see it. */
import { styleText } from "node:util";

export interface Column<T> {
  readonly title: string;
  readonly right?: true;
  readonly text: (row: T) => string;
}

const coloured = process.stdout.isTTY && (process.env["NO_COLOR"] ?? "") === "";

/** Colours a text when standard output is a terminal and NO_COLOR is not set. */
export function paint(style: "bold" | "dim" | "green" | "yellow" | "red", text: string): string {
  return coloured ? styleText(style, text) : text;
}

/** Aligned columns under their titles, one line per row. */
export function table<T>(columns: readonly Column<T>[], rows: readonly T[]): string {
  const head = columns.map(({ title }) => title);
  const cells = rows.map((row) => columns.map(({ text }) => printable(text(row))));
  const widths = columns.map((_, i) => Math.max(...[head, ...cells].map((line) => line[i]?.length ?? 0)));
  const lines = [head, ...cells].map((line) =>
    line
      .map((cell, i) => (columns[i]?.right ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
  return lines.map((line, i) => `${i === 0 ? paint("dim", line) : line}\n`).join("");
}

/** Names and messages may come from the registry: control characters must not reach the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, "�");
}

/** `1.4 MiB`: three significant digits, binary units. */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  let value = count;
  for (; value >= 1023.5 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 || value >= 99.95 ? value.toFixed(0) : value.toFixed(1)} ${units[unit] ?? ""}`;
}

/** `2d 3h`, `5m 12s`, `8s`: the two largest units. */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "m"],
    [whole % 60, "s"],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return "0s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(" ");
}

/** `1 peer`, `2 peers`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
