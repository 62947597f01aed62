/** Why a packet is dropped, by the names of `native/core/drop_reasons.def`: those that can be told from bytes alone. */
export type Reason =
  | "runt"
  | "bad_header"
  | "bad_checksum"
  | "source_route"
  | "martian"
  | "bcast_mcast"
  | "ttl"
  | "not_ready"
  | "nested"
  | "spoofed"
  | TxReason
  | RxReason;

type TxReason = "no_route" | "own_subnet" | "family" | "bad_offload" | "too_big";

type RxReason =
  | "unknown_peer"
  | "oversize"
  | "bad_vxlan"
  | "bad_vni"
  | "bad_mac"
  | "ethertype"
  | "neighbour"
  | "not_local"
  | "ecn";

/** Something, or why there is none. */
export type Or<T extends object> = T | Reason;
