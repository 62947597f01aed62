/*
 * Sums are made of native words and swapped to network order once at the end: one's complement addition commutes with
 * swapping bytes (RFC 1071 section 2B). Payloads are summed in vectors, which a profile of TCP asks for.
 */
#include "checksum.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

enum { BLOCK = 64 };

/* Four words at once; without such registers the compiler makes two halves of each. */
typedef uint64_t vector __attribute__((vector_size(32)));

/* The sum of n blocks. Lanes take 2^32 additions before they overflow. */
static inline __attribute__((always_inline)) uint64_t sum_blocks(const uint8_t *data, size_t n)
{
    const vector low = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    vector a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i < n; i++) {
        vector x, y;
        memcpy(&x, data + i * BLOCK, sizeof x);
        memcpy(&y, data + i * BLOCK + sizeof x, sizeof y);
        a += x & low;
        b += x >> 32;
        c += y & low;
        d += y >> 32;
    }
    a += b + c + d;
    return a[0] + a[1] + a[2] + a[3];
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static uint64_t sum_blocks_avx2(const uint8_t *data, size_t n)
{
    return sum_blocks(data, n);
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}
#else
#define sum_blocks_avx2 sum_blocks
static bool has_avx2(void)
{
    return false;
}
#endif

uint64_t csum_bytes(const uint8_t *data, size_t len)
{
    uint64_t sum = 0;
    size_t i = len / BLOCK * BLOCK;
    if (i > 0)
        sum = has_avx2() ? sum_blocks_avx2(data, i / BLOCK) : sum_blocks(data, i / BLOCK);
    for (; i + 4 <= len; i += 4) {
        uint32_t word;
        memcpy(&word, data + i, 4);
        sum += word;
    }
    if (i + 2 <= len) {
        uint16_t half;
        memcpy(&half, data + i, 2);
        sum += half;
        i += 2;
    }
    if (i < len)
        sum += htole16(data[i]);
    return be16toh(csum_fold(sum));
}

uint64_t csum_pseudo(int family, const uint8_t *src, const uint8_t *dst, uint8_t proto,
                     uint32_t len)
{
    size_t address = family == 4 ? 4 : 16;
    return csum_bytes(src, address) + csum_bytes(dst, address) + proto + (len >> 16) +
           (len & 0xffff);
}
