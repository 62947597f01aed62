/**
 * The log: one JSON object per line on standard output, or one plain line when that is a terminal.
 *
 * Fields besides pino's own (`level`, `time`, `msg`), everywhere the same:
 *   component  part of the daemon that speaks: etcd, registry, dataplane, route, link, health, admin
 *   peer       another node: its lease key, or its name in the peers file
 *   prefix     an overlay subnet or network, `10.5.32.0/24`
 *   iface      a network interface's name
 *   endpoint   what is talked to: an underlay address, an etcd endpoint
 *   path       a file or socket
 *   reason     a stable word for why, the same as in counters and rejections
 *   state      the state that was entered
 *   key        a key in etcd
 *   revision   up to where the registry's changes are known
 *   generation number of the tables that the workers use
 *   count      how many, where one line stands for several events
 *   mtu        in bytes, outer headers included
 *   err        an error: `message`, `code` where it has one, `stack` only for what nobody expected
 * A message is a short sentence without values; the values are in the fields. One line per change of state, not per
 * try.
 */
import { type Logger, pino, stdTimeFunctions } from "pino";
import { WeftError } from "../config/errors.js";
import type { LogLevel } from "../config/options.js";

export type Log = Logger;

/** What of a stream the log needs. */
export interface Output {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
  on(event: "error", listener: () => void): unknown;
}

/** Makes the log. Its level may be changed at run time (`log.level = …`); children follow. */
export function createLog(level: LogLevel, output: Output = process.stdout): Log {
  // A log that nobody reads any more (EPIPE) must not end the daemon.
  output.on("error", () => undefined);
  const write =
    output.isTTY === true ? (line: string) => output.write(plainLine(line)) : output.write.bind(output);
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    { write },
  );
}

function describeError(error: Error & { code?: unknown }): object {
  const { message, code, stack } = error;
  if (code !== undefined) return { message, code };
  return error instanceof WeftError ? { message } : { message, stack };
}

interface Line extends Readonly<Record<string, unknown>> {
  readonly level: string;
  readonly time: string;
  readonly msg?: string;
  readonly err?: { readonly message?: string; readonly stack?: string };
}

/** `15:04:05 warn  registry lost  endpoint=10.0.0.5:2379`, from a line of JSON. */
function plainLine(line: string): string {
  const { level, time, msg = "", err = {}, ...fields } = JSON.parse(line) as Line;
  const shown = Object.entries({ ...fields, ...(err.message === undefined ? {} : { err: err.message }) }).map(
    ([name, value]) => `${name}=${plainValue(value)}`,
  );
  const head = `${time.slice(11, 19)} ${level.padEnd(5)} ${msg}`;
  return `${[head, shown.join(" ")].filter((part) => part !== "").join("  ")}\n${err.stack === undefined ? "" : `${err.stack}\n`}`;
}

/** Quoted as in JSON unless it is one plain word, so that no value can forge a line or move the cursor. */
function plainValue(value: unknown): string {
  return typeof value === "string" && /^[\w.,:;/@&%+*[\]-]+$/.test(value) ? value : JSON.stringify(value);
}
