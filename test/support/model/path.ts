/** What is known of the path MTU to each peer: outer bytes, learned from errors, forgotten after ten minutes. */
import { type Bytes, hex } from "./bytes.js";

const KEPT_MS = 600_000;

export class Paths {
  readonly #known = new Map<string, { readonly mtu: number; readonly sinceMs: number }>();

  /**
   * An MTU someone told: the own kernel (`local`), which is believed, or a router, whose message anybody can forge: it
   * may only lower what is known, and not below what every path carries (RFC 1191 3: 576, RFC 8200 5: 1280). Zero is
   * from before RFC 1191 and tells nothing.
   */
  learn(peer: Bytes, mtu: number, local: boolean, nowMs: number): void {
    if (mtu === 0) return;
    const claimed = local ? mtu : Math.max(mtu, peer.length === 4 ? 576 : 1280);
    const before = this.mtu(peer, nowMs);
    if (!local && before !== null && claimed > before) return;
    this.#known.set(hex(peer), { mtu: claimed, sinceMs: nowMs });
  }

  /** Forgets what is known about all other peers. */
  keep(peers: readonly Bytes[]): void {
    const kept = new Set(peers.map(hex));
    for (const peer of this.#known.keys()) if (!kept.has(peer)) this.#known.delete(peer);
  }

  /** Null when nothing is known. */
  mtu(peer: Bytes, nowMs: number): number | null {
    const known = this.#known.get(hex(peer));
    return known === undefined || nowMs - known.sinceMs >= KEPT_MS ? null : known.mtu;
  }
}
