/** The option list of an IPv4 header (RFC 791 3.1). */
import { byte, type Bytes } from "./bytes.js";

const END = 0;
const NOP = 1;

export interface Option {
  readonly type: number;
  readonly at: number;
  /** Null when the length is missing or impossible: nothing behind such an option can be told apart. */
  readonly length: number | null;
}

/** The options in order, up to the end of the list or the first malformed one, which is included. */
export function listOptions(options: Bytes): Option[] {
  const found: Option[] = [];
  let at = 0;
  while (at < options.length && byte(options, at) !== END) {
    const type = byte(options, at);
    const told = type === NOP ? 1 : byte(options, at + 1);
    const possible = type === NOP || (at + 1 < options.length && told >= 2);
    found.push({ type, at, length: possible ? told : null });
    if (!possible) break;
    at += told;
  }
  return found;
}

/** The options of the fragments behind the first: those without the copy flag become NOPs. */
export function optionsOfLaterFragments(options: Bytes): Bytes {
  const copy = options.slice();
  for (const { type, at, length } of listOptions(options)) {
    if (length === null || at + length > options.length) break;
    if ((type & 0x80) === 0) copy.fill(NOP, at, at + length);
  }
  return copy;
}
