/* What the wire (wire.c) can be told to do, and what it tells of what it did; wire.ts has the same names. */
#ifndef WEFT_WIRE_ACCOUNT_H
#define WEFT_WIRE_ACCOUNT_H

#include <stdint.h>

/*
 * 0 is off. Probabilities that a frame is lost, doubled, …; behind how many later frames one is held back at most; the
 * largest IP packet; the size of the limited line's queue: what does not fit is lost.
 */
/* clang-format off */
#define SETTINGS(X)                                                                                \
    X(loss) X(duplicate) X(flip) X(spoil) X(truncate) X(reorder) X(distance) X(delay_us)           \
    X(jitter_us) X(bits_per_second) X(queue_bytes) X(mtu)
/* clang-format on */

/* What is done to the tunnel's frames of one direction. */
struct settings {
#define FIELD(name) double name;
    SETTINGS(FIELD)
#undef FIELD
};

/*
 * Of the tunnel's frames: received + duplicated = sent + lost + limited + oversize + unsent + those in slots.
 * flipped: one bit behind the Ethernet header, checksums as they were. spoiled: one bit of the UDP payload, and the
 * UDP checksum taken out, so that no kernel notices. truncated: the payload's end cut off, with lengths that fit, and
 * the checksum taken out. reordered: of the ledger's packets, those that went out after a later one of their flow.
 * overflowed: any frames that the kernel dropped in front of this program.
 */
/* clang-format off */
#define ACCOUNT(X)                                                                                 \
    X(received) X(sent) X(lost) X(limited) X(oversize) X(unsent) X(duplicated) X(flipped)          \
    X(spoiled) X(truncated) X(held) X(reordered) X(other) X(overflowed)
/* clang-format on */

struct account {
#define FIELD(name) uint64_t name;
    ACCOUNT(FIELD)
#undef FIELD
};

#endif
