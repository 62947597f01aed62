/**
 * Rows for both directions, which begin with the same look at the inner packet: each makes a case of what a peer sends
 * and one of what a pod sends.
 */
import type { IpFields } from "../support/craft.js";
import {
  delivered,
  dropped,
  inner,
  rx,
  rx4,
  rx6,
  type RxCase,
  sent,
  tx,
  tx4,
  tx6,
  type TxCase,
} from "./case.js";

export interface Both {
  readonly rx: RxCase;
  readonly tx: TxCase;
}

type Make = (fields: {
  readonly source: string;
  readonly destination: string;
}) => Uint8Array | readonly Uint8Array[];

/** Broken in the same way in both directions; `make` gets the addresses. */
export function refused(
  reason: string,
  name: string,
  make: Make,
  fields: readonly [IpFields, IpFields] = [rx4, tx4],
): Both {
  const list = (addresses: IpFields): readonly Uint8Array[] => {
    const made = make(addresses);
    return made instanceof Uint8Array ? [made] : made;
  };
  return {
    rx: rx(name, list(fields[0]).map(inner), dropped(reason)),
    tx: tx(name, list(fields[1]), dropped(reason)),
  };
}

export const IPV6 = [rx6, tx6] as const;

/** Odd but right. `make` gets addresses and TTL. */
export function passesBothWays(
  name: string,
  make: (fields: IpFields & { readonly ttl: number }) => Uint8Array,
  fields: readonly [IpFields, IpFields] = [rx4, tx4],
): Both {
  const [toUs, toPeer] = fields;
  const arrives = make({ ...toUs, ttl: 64 });
  return {
    rx: rx(name, inner(arrives), delivered(arrives)),
    tx: tx(name, make({ ...toPeer, ttl: 64 }), sent(make({ ...toPeer, ttl: 63 }))),
  };
}
