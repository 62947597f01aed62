/** What samples are summed up to, and the Markdown tables they end in. */

/** The middle value, the upper one of two; NaN of nothing. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value that a share of `q` of the others does not reach; NaN of nothing. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(Math.floor(sorted.length * q), sorted.length - 1)] ?? NaN;
}

/** Samples that belong together, in order of first appearance, each group with its first one. */
export function groups<T>(samples: readonly T[], key: (sample: T) => string): [T, T[]][] {
  const found = new Map<string, [T, T[]]>();
  for (const sample of samples) {
    const group = found.get(key(sample));
    if (group === undefined) found.set(key(sample), [sample, [sample]]);
    else group[1].push(sample);
  }
  return [...found.values()];
}

/** The way prettier leaves it. The first column is text, the others are numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(" | ")} |`;
  const rule = widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}
