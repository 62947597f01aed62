/*
 * The Internet checksum (RFC 1071), its incremental update (RFC 1624) and the pseudo-headers (RFC 9293 3.1,
 * RFC 8200 8.1).
 *
 * A "sum" is an unfolded one's complement sum in the byte order of the packet, kept in 64 bits: sums of
 * parts that start at even offsets are added with +, and csum_fold makes the 16 bits of it. The checksum that goes
 * into a header is the complement: csum_finish.
 */
#ifndef WEFT_CHECKSUM_H
#define WEFT_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Sum of len bytes; an odd last byte is padded with zero. */
uint64_t csum_bytes(const uint8_t *data, size_t len);

/* Sum of the pseudo-header of an upper-layer packet of `len` bytes. family: 4 or 6; addresses in network order. */
uint64_t csum_pseudo(int family, const uint8_t *src, const uint8_t *dst, uint8_t proto,
                     uint32_t len);

/* Folds to 16 bits (network byte order value, as get16 would read it). */
static inline uint16_t csum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* The value of a checksum field for a sum over everything else. */
static inline uint16_t csum_finish(uint64_t sum)
{
    return (uint16_t)~csum_fold(sum);
}

/* The checksum field after one 16-bit field of what it covers changed from `before` to `after` (RFC 1624, eqn. 3). */
static inline uint16_t csum_update(uint16_t field, uint16_t before, uint16_t after)
{
    return csum_finish((uint64_t)(uint16_t)~field + (uint16_t)~before + after);
}

#endif
