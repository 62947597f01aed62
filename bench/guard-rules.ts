/**
 * What the guard holds weft to: ratios between subjects of one run, half to two thirds of what they are when all is well, so that
 * an offload that does not work any more is noticed and a busy machine is not.
 */
import { type Model } from "./bed.js";
import { figures, type Results } from "./results.js";
import { KERNEL } from "./subjects.js";

interface Rule {
  readonly model: Model;
  readonly workload: string;
  readonly value: string;
  /** Whom it is measured against. */
  readonly against: string;
  readonly least: number;
}

export const rules: readonly Rule[] = [
  { model: "wire", workload: "tcp-1", value: "gbps", against: KERNEL, least: 0.45 },
  { model: "offload", workload: "tcp-1", value: "gbps", against: KERNEL, least: 0.42 },
  { model: "offload", workload: "tcp-1", value: "gbps", against: "flannel-loop", least: 5 },
  { model: "wire", workload: "udp-64-runs", value: "kpps", against: KERNEL, least: 1 },
];

/** A sentence for each rule that a format of weft does not keep, or that was not measured. */
export function violations(results: Results): string[] {
  return rules.flatMap((rule) =>
    ["weft-udp", "weft-vxlan"].flatMap((subject) => {
      const ratio = ratioOf(results, rule, subject);
      if (ratio !== null && ratio >= rule.least) return [];
      const reached = ratio === null ? "was not measured beside" : `reaches ${ratio.toFixed(2)} of`;
      return [`${rule.workload}, ${rule.model}: ${subject} ${reached} ${rule.against}, not ${rule.least}`];
    }),
  );
}

function ratioOf(
  results: Results,
  { model, workload, value, against }: Rule,
  subject: string,
): number | null {
  const found = figures(results, value).filter((each) => each.model === model && each.workload === workload);
  const own = found.find((each) => each.subject === subject);
  const other = found.find((each) => each.subject === against);
  return own === undefined || other === undefined ? null : own.median / other.median;
}
