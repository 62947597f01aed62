/** Explicit congestion notification across a tunnel (RFC 6040). The ECN field is the low two bits of a TOS. */

const NOT_ECT = 0;
const ECT1 = 1;
const ECT0 = 2;
const CE = 3;

/** The outer TOS on encapsulation: normal mode, or compatibility mode for a peer that ignores the outer header. */
export function outerTos(innerTos: number, compatible: boolean): number {
  return compatible ? innerTos - (innerTos % 4) : innerTos;
}

/** RFC 6040 figure 4: rows are the inner field, columns the outer one. Null: drop. */
const figure4: Readonly<Record<number, readonly (number | null)[]>> = {
  //          Not-ECT  ECT(1)   ECT(0)   CE (in the order of their values)
  [NOT_ECT]: [NOT_ECT, NOT_ECT, NOT_ECT, null],
  [ECT0]: [ECT0, ECT1, ECT0, CE],
  [ECT1]: [ECT1, ECT1, ECT1, CE],
  [CE]: [CE, CE, CE, CE],
};

/** The inner TOS on decapsulation; null when the packet must be dropped. */
export function decapsulatedTos(innerTos: number, outerTosValue: number): number | null {
  const ecn = figure4[innerTos % 4]?.[outerTosValue % 4] ?? null;
  return ecn === null ? null : innerTos - (innerTos % 4) + ecn;
}
