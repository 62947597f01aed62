/*
 * ICMP and ICMPv6 errors about packets that a local sender gave us: when one may be sent, what it looks like, and how
 * many. They go back through the TUN, so their source is the TUN's own address.
 */
#ifndef WEFT_ICMP_H
#define WEFT_ICMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ip.h"
#include "tables.h"

/* The longest error: RFC 4443 2.4(c) quotes as much as fits the IPv6 minimum MTU, RFC 1812 4.3.2.3 up to 576. */
enum { ICMP_HEADER = 8, ICMP_ERROR_MAX = 1280 };

/*
 * Token buckets as the kernel's (net/ipv4/icmp.c): in total 1000 a second with a burst of 50, to one destination one
 * a second with a burst of 6, except for what path MTU discovery needs. Destinations share buckets by hash.
 * Zero-initialised is full and ready.
 */
enum { ICMP_TARGETS = 256 };
struct bucket {
    uint64_t updated_ms;
    uint32_t spent; /* in thousandths of a token */
};
struct icmp_limiter {
    struct bucket total;
    struct bucket targets[ICMP_TARGETS];
};

/* Takes a token for an error about `reason` to `address`; false when there is none. now_ms: CLOCK_MONOTONIC. */
bool icmp_allowed(struct icmp_limiter *limiter, enum drop reason, int family,
                  const uint8_t *address, uint64_t now_ms);

/* The same bucket with a capacity (tokens) and a refill (tokens a second) of the caller's. */
bool bucket_take(struct bucket *b, uint32_t capacity, uint32_t per_second, uint64_t now_ms);

/* Whether a packet dropped for `reason` is answered with an error at all. */
bool icmp_answers(enum drop reason);

/*
 * Writes the error for `reason` about the packet that `ip` describes, as it came in, to `out` (ICMP_ERROR_MAX bytes).
 * mtu: what would have gone through, for DROP_too_big. Returns its length, or 0 when no error may be sent: about ICMP errors,
 * fragments but the first, and when this host has no address of the family (RFC 1122 3.2.2, RFC 1812 4.3.2.7,
 * RFC 4443 2.4(e)). Multicast and unspecified addresses never get here: ip_check_addresses stops them.
 */
size_t icmp_error(uint8_t *out, enum drop reason, const struct self_row *self, uint32_t mtu,
                  const uint8_t *data, const struct ip_info *ip);

#endif
