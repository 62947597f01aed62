/**
 * What a fault is: one small file in this directory, named after its row in the catalogue of faults (`w1-loss.ts`),
 * that exports `fault`. It says what to do to a bench with traffic on it and which bounds must hold; the runner
 * (main.ts) and the tests find it by its file name, call it as often as asked for, each time with another seed, and
 * hold what it measured against its bounds.
 */
import { readdir } from "node:fs/promises";
import type { Bench, BenchOptions } from "./bench.js";
import type { Chance } from "./chance.js";

/** Numbers by name, of which less is better; names end in their unit (`pauseMs`) or count packets (`lost`). */
export type Measures<Name extends string = string> = Readonly<Record<Name, number>>;

export interface Fault<Name extends string = string> {
  readonly row: string;
  /** What happens, as a clause: "the wire loses up to half of all datagrams". */
  readonly what: string;
  /** Where the bench's daemons get their routes from; a file by default. */
  readonly registry?: BenchOptions["registry"];
  /** A bench cannot be used again afterwards; false by default. */
  readonly scars?: boolean;
  /** What each measure may be at most. */
  readonly bounds: Measures<Name>;
  /** Does it once, heals what it broke, and returns what it measured. The bench is calm before. */
  readonly inject: (bench: Bench, chance: Chance) => Promise<Measures<Name>>;
}

export interface NamedFault extends Fault {
  /** Of the file: `w1-loss`. */
  readonly name: string;
}

/** Has the compiler compare a fault's measures with its bounds. */
export function defineFault<const Name extends string>(fault: Fault<Name>): Fault<Name> {
  return fault;
}

const fileName = /^([chw]\d+-.+)\.js$/;

/** Every fault of this directory, by row. */
export async function allFaults(): Promise<NamedFault[]> {
  const names = (await readdir(new URL(".", import.meta.url))).flatMap(
    (file) => fileName.exec(file)?.[1] ?? [],
  );
  const faults = await Promise.all(
    names.map(async (name) => {
      const { fault } = (await import(`./${name}.js`)) as { readonly fault: Fault };
      return { ...fault, name };
    }),
  );
  const key = ({ row, name }: NamedFault): string => `${row[0]}${row.slice(1).padStart(3, "0")} ${name}`;
  return faults.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** The measures that are beyond their bounds, as text. Times may be longer by `slackMs`. */
export function broken(fault: Fault, measures: Measures, slackMs = 0): string[] {
  return Object.entries(fault.bounds).flatMap(([name, bound]) => {
    const value = measures[name] ?? NaN;
    const most = /Ms|^ms/.test(name) ? bound + slackMs : bound;
    return value <= most ? [] : [`${name} is ${round(value)}, and may be ${most}`];
  });
}

export function round(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 1);
}
