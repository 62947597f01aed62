/** What is to be measured, and in what order: everything, the main lines, or what someone wants to know. */
import { type Model, models, type Setting } from "./bed.js";
import { KERNEL, type Subject, subjects } from "./subjects.js";
import { type Workload, workloads } from "./workloads.js";

/** A workload, and who is measured with it. */
export interface Row {
  readonly workload: Workload;
  readonly subjects: readonly Subject[];
}

/** What is measured on beds of one kind. */
export interface Part {
  readonly setting: Setting;
  readonly rows: readonly Row[];
}

export interface Plan {
  readonly parts: readonly Part[];
  readonly rounds: number;
  /** Of one sample. */
  readonly seconds: number;
  /** Flags for every weftd. */
  readonly weftd: readonly string[];
}

const WEFT = ["weft-udp", "weft-vxlan"];
const MAIN = [KERNEL, ...WEFT];
const BESIDE = [...MAIN, "weft-kernel", "kernel-weft"];
const QUICK = [...MAIN, "flannel-loop"];
/** Every subject that is known, and those of the command line. */
const ALL = null;

type Matrix = readonly (Setting & { readonly rows: Readonly<Record<string, readonly string[] | null>> })[];

const USUAL = { mtu: 1500, peers: 1 } as const;
const FULL: Matrix = [
  {
    ...USUAL,
    model: "wire",
    rows: {
      "tcp-1": ALL,
      "tcp-4": BESIDE,
      "tcp-16": MAIN,
      "udp-64": ALL,
      "udp-64-x16": MAIN,
      "udp-64-runs": MAIN,
      "udp-512": MAIN,
      "udp-1400": MAIN,
      rr: ALL,
      "rr-asleep": MAIN,
      ping: MAIN,
      memory: WEFT,
      churn: WEFT,
    },
  },
  {
    ...USUAL,
    model: "offload",
    rows: { "tcp-1": ALL, "tcp-4": BESIDE, "tcp-16": MAIN, "udp-64": MAIN, "udp-64-x16": MAIN, rr: MAIN },
  },
  { model: "wire", mtu: 1280, peers: 1, rows: { "tcp-1": MAIN } },
  { model: "wire", mtu: 9000, peers: 1, rows: { "tcp-1": MAIN } },
  { model: "wire", mtu: 1500, peers: 64, rows: { "udp-64-peers": [KERNEL, "weft-kernel"] } },
];
const quickRows = { "tcp-1": QUICK, "tcp-4": QUICK, "udp-64": QUICK, rr: QUICK };
const QUICK_MATRIX: Matrix = models.map((model) => ({ ...USUAL, model, rows: quickRows }));

/** What the guard looks at: enough to notice that an offload does not work any more, in less than a minute. */
export function guardPlan(weftd: readonly string[]): Plan {
  const matrix: Matrix = [
    { ...USUAL, model: "wire", rows: { "tcp-1": MAIN, "udp-64-runs": MAIN } },
    { ...USUAL, model: "offload", rows: { "tcp-1": QUICK } },
  ];
  return { parts: partsOf(matrix, subjects), rounds: 3, seconds: 0.5, weftd };
}

/** The parts of the full measurement, or of the quick one, that are wanted, with all subjects that are `known`. */
export function partsWanted(quick: boolean, known: readonly Subject[], wanted: Wanted): Part[] {
  return partsOf(restrict(quick ? QUICK_MATRIX : FULL, wanted), known);
}

/** Null: all of them. */
export interface Wanted {
  readonly models: readonly Model[] | null;
  readonly workloads: readonly string[] | null;
  readonly subjects: readonly string[] | null;
  readonly mtu: number | null;
}

/** The part of a matrix that is wanted. */
function restrict(matrix: Matrix, wanted: Wanted): Matrix {
  return matrix
    .filter(
      ({ model, mtu }) => wanted.models?.includes(model) !== false && (wanted.mtu === null || mtu === 1500),
    )
    .map((part) => {
      const rows = Object.entries(part.rows)
        .filter(([workload]) => wanted.workloads?.includes(workload) !== false)
        .map(([workload, list]) => [workload, chosen(part, list, wanted.subjects)] as const);
      return { ...part, mtu: wanted.mtu ?? part.mtu, rows: Object.fromEntries(rows) };
    });
}

/** Subjects that are named take part in every workload, but for those that only some can do. */
function chosen(
  { peers }: Setting,
  list: readonly string[] | null,
  named: readonly string[] | null,
): readonly string[] | null {
  if (named === null) return list;
  return list === WEFT || (list !== null && peers > 1) ? named.filter((name) => list.includes(name)) : named;
}

function partsOf(matrix: Matrix, known: readonly Subject[]): Part[] {
  return matrix
    .map(({ rows, ...setting }) => ({
      setting,
      rows: workloads
        .filter(({ name }) => name in rows)
        .map((workload) => {
          const list = rows[workload.name] ?? known.map(({ name }) => name);
          return { workload, subjects: known.filter(({ name }) => list.includes(name)) };
        })
        .filter((row) => row.subjects.length > 0),
    }))
    .filter(({ rows }) => rows.length > 0);
}
