/* Covers core/vxlan: the exact header, and every bit a receiver looks at. */
#include "../core/vxlan.h"

#include "packets.h"

static const uint8_t dst[MAC_SIZE] = {2, 1, 2, 3, 4, 5}, src[MAC_SIZE] = {6, 7, 8, 9, 10, 11};

static void header_is_exact(void)
{
    static const uint8_t expected[] = {8, 0, 0, 0, 0xab, 0xcd, 0xef, 0,  2,  1, 2,
                                       3, 4, 5, 6, 7,    8,    9,    10, 11, 8, 0};
    uint8_t *out = owned(VXLAN_OVERHEAD);
    vxlan_write(out, 0xabcdef, dst, src, ETHERTYPE_IPV4);
    CHECK_EQ(sizeof expected, VXLAN_OVERHEAD);
    CHECK_BYTES(out, expected, sizeof expected);
}

static void every_bit_of_the_header_matters(void)
{
    uint8_t *out = owned(VXLAN_OVERHEAD);
    vxlan_write(out, 0xabcdef, dst, src, ETHERTYPE_IPV6);
    CHECK_EQ(vxlan_check(out, VXLAN_OVERHEAD, 0xabcdef, 0), DROP_NONE);
    for (size_t bit = 0; bit < VXLAN_HEADER * 8; bit++) {
        out[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        bool vni = bit >= 32 && bit < 56;
        CHECK_EQ(vxlan_check(out, VXLAN_OVERHEAD, 0xabcdef, 0),
                 vni ? DROP_bad_vni : DROP_bad_vxlan);
        out[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
    }
}

static void what_is_shorter_than_both_headers_is_a_runt(void)
{
    uint8_t out[VXLAN_OVERHEAD];
    vxlan_write(out, 1, dst, src, ETHERTYPE_IPV4);
    for (size_t len = 0; len < VXLAN_OVERHEAD; len++)
        CHECK_EQ(vxlan_check(owned_copy(out, len), len, 1, 0), DROP_runt);
}

const struct test vxlan_tests[] = {
    {"the header is exact", header_is_exact},
    {"every bit of the header matters", every_bit_of_the_header_matters},
    {"what is shorter than both headers is a runt", what_is_shorter_than_both_headers_is_a_runt},
    {NULL, NULL},
};
