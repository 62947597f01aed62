/** Bars with ranges, as SVG: one bar per subject, grouped by workload, from nothing to the largest sample. */

export interface Bar {
  readonly label: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Drawn in a stronger colour. */
  readonly own: boolean;
}

export interface Group {
  readonly title: string;
  readonly bars: readonly Bar[];
}

const WIDTH = 760;
const LABELS = 210;
const VALUES = 70;
const LINE = 20;
const THICKNESS = 13;
const HEADING = 30;

/** Draws what `title` names in its unit. The same input gives the same text. */
export function plot(title: string, groups: readonly Group[]): string {
  const largest = Math.max(...groups.flatMap(({ bars }) => bars.map(({ max }) => max)));
  const scale = (WIDTH - LABELS - VALUES) / largest;
  const lines: string[] = [];
  let y = HEADING + 6;
  for (const group of groups) {
    y += LINE;
    lines.push(text(8, y - 6, group.title, "h"));
    for (const bar of group.bars) {
      lines.push(...drawBar(bar, y, scale));
      y += LINE;
    }
    y += 6;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 8}" width="${WIDTH}" height="${y + 8}">`,
    "<style>text{font:12px sans-serif;fill:#222}.t{font-size:15px;font-weight:bold}.h{font-weight:bold}.e{text-anchor:end}</style>",
    `<rect width="${WIDTH}" height="${y + 8}" fill="#fff"/>`,
    text(8, 22, title, "t"),
    ...lines,
    "</svg>",
    "",
  ].join("\n");
}

function drawBar({ label, median, min, max, own }: Bar, y: number, scale: number): string[] {
  const middle = y + LINE / 2;
  const [from, to] = [at(min, scale), at(max, scale)];
  const range = `M${from} ${middle}H${to}M${from} ${middle - 4}v8M${to} ${middle - 4}v8`;
  const width = (median * scale).toFixed(1);
  return [
    text(LABELS - 8, middle + 4, label, "e"),
    `<rect x="${LABELS}" y="${middle - THICKNESS / 2}" width="${width}" height="${THICKNESS}" fill="${own ? "#2a6f97" : "#b8c4ce"}"/>`,
    `<path d="${range}" stroke="#222" fill="none"/>`,
    text(Number(to) + 8, middle + 4, format(median), ""),
  ];
}

function at(value: number, scale: number): string {
  return (LABELS + value * scale).toFixed(1);
}

function text(x: number, y: number, content: string, style: string): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x}" y="${y}"${style === "" ? "" : ` class="${style}"`}>${escaped}</text>`;
}

/** Three digits, never as a power of ten. */
export function format(value: number): string {
  return `${Number(value.toPrecision(3))}`;
}
