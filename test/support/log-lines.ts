/** A logger whose lines a test can read. */
import { type Logger, pino } from "pino";

export interface LogLines {
  readonly log: Logger;
  readonly lines: Readonly<Record<string, unknown>>[];
}

export function logLines(): LogLines {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  return { log: pino({ level: "info", base: null }, { write }), lines };
}
