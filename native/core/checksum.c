/*
 * Sums are made of native 32-bit words, which the compiler turns into vector code, and swapped to network order once
 * at the end: one's complement addition commutes with swapping bytes (RFC 1071 section 2B).
 */
#include "checksum.h"

#include <endian.h>
#include <string.h>

uint64_t csum_bytes(const uint8_t *data, size_t len)
{
    uint64_t sum = 0;
    size_t i = 0;
    for (; i + 4 <= len; i += 4) {
        uint32_t word;
        memcpy(&word, data + i, 4);
        sum += word;
    }
    uint32_t tail = 0;
    memcpy(&tail, data + i, len - i);
    return be16toh(csum_fold(sum + tail));
}

uint64_t csum_pseudo(int family, const uint8_t *src, const uint8_t *dst, uint8_t proto,
                     uint32_t len)
{
    size_t address = family == 4 ? 4 : 16;
    return csum_bytes(src, address) + csum_bytes(dst, address) + proto + (len >> 16) +
           (len & 0xffff);
}
