/*
 * Fragmentation of IPv4 packets without DF (RFC 791 3.2, as net/ipv4/ip_output.c does it) for a path that is smaller
 * than the tunnel's MTU. Each fragment is a header of its own and a slice of the payload, which is not copied.
 */
#ifndef WEFT_FRAGMENT_H
#define WEFT_FRAGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ip.h"

/* The longest header of a fragment: IPv4 and, in the first, TCP, both with options. */
enum { FRAGMENT_HEADER_MAX = 120 };

/*
 * A packet in two pieces: `headers` holds the IPv4 header (ip_len bytes) and, in a segment of a super-packet, the
 * upper-layer header too (header_len bytes in all); `payload` is the rest. It must outlive the iteration.
 */
struct fragments {
    const uint8_t *headers;
    size_t ip_len, header_len;
    uint8_t *payload;
    size_t payload_len;
    size_t room;   /* bytes that a fragment may have behind the IPv4 header */
    size_t offset; /* of the next fragment's first byte behind the IPv4 header */
};

/*
 * Whether a packet with header_len bytes of headers may be cut to fragments of at most `mtu` bytes: IPv4 without DF,
 * and the first fragment has room for all headers.
 */
static inline bool fragment_allowed(const uint8_t *data, const struct ip_info *ip,
                                    size_t header_len, size_t mtu)
{
    size_t upper = header_len - ip->upper, room = upper < 8 ? 8 : (upper + 7) & ~(size_t)7;
    return ip->family == 4 && (data[6] & 0x40) == 0 && mtu >= ip->upper + room;
}

/* Prepares fragments of at most `mtu` bytes, which fragment_allowed has allowed. */
void fragment_begin(struct fragments *f, size_t mtu, const uint8_t *headers, size_t ip_len,
                    size_t header_len, uint8_t *payload, size_t payload_len);

/*
 * Writes the headers of the next fragment to `out` (FRAGMENT_HEADER_MAX bytes), returns their length and points
 * *payload at what follows them. Returns 0 when there is none left.
 */
size_t fragment_next(struct fragments *f, uint8_t *out, uint8_t **payload, size_t *payload_len);

#endif
