/* Covers core/checksum: sums against the bytewise model, pseudo-headers, and the incremental
 * update. */
#include "../core/checksum.h"

#include "packets.h"

static void sums_equal_the_model(void)
{
    for (size_t len = 0; len < 3000; len += len < 200 ? 1 : 1 + random_below(60)) {
        uint8_t *data = owned(len + 1);
        random_bytes(data, len + 1);
        CHECK_EQ(csum_fold(csum_bytes(data, len)), model_sum(0, data, len));
        CHECK_EQ(csum_fold(csum_bytes(data + 1, len)), model_sum(0, data + 1, len)); /* unaligned */
    }
}

static void sum_of_64_kilobytes_does_not_overflow(void)
{
    uint8_t *data = owned(65535);
    memset(data, 0xff, 65535);
    CHECK_EQ(csum_fold(csum_bytes(data, 65535)), model_sum(0, data, 65535));
}

static void parts_at_even_offsets_add_up(void)
{
    uint8_t *data = owned(301);
    random_bytes(data, 301);
    for (size_t cut = 0; cut <= 300; cut += 2)
        CHECK_EQ(csum_fold(csum_bytes(data, cut) + csum_bytes(data + cut, 301 - cut)),
                 model_sum(0, data, 301));
}

static void fold_keeps_the_value_of_extreme_sums(void)
{
    CHECK_EQ(csum_fold(0), 0);
    CHECK_EQ(csum_fold(0xffff), 0xffff);
    CHECK_EQ(csum_fold(0x10000), 1);
    CHECK_EQ(csum_fold(UINT64_MAX), 0xffff);
    CHECK_EQ(csum_fold(0xffffffff00000001u), 1);
    CHECK_EQ(csum_finish(0xffff), 0);
}

static void pseudo_headers_equal_the_model(void)
{
    uint8_t src[16], dst[16], bytes[40];
    for (int i = 0; i < 1000; i++) {
        random_bytes(src, 16);
        random_bytes(dst, 16);
        uint32_t len = random_below(70000);
        for (size_t size = 4; size <= 16; size += 12) {
            memset(bytes, 0, sizeof bytes);
            memcpy(bytes, src, size);
            memcpy(bytes + size, dst, size);
            put32(bytes + 2 * size, len);
            bytes[2 * size + 7] = PROTO_TCP;
            CHECK_EQ(csum_fold(csum_pseudo(size == 4 ? 4 : 6, src, dst, PROTO_TCP, len)),
                     model_sum(0, bytes, 2 * size + 8));
        }
    }
}

static void incremental_update_equals_a_new_sum(void)
{
    for (int i = 0; i < 20000; i++) {
        uint8_t header[20];
        random_bytes(header, sizeof header);
        put16(header + 10, 0);
        uint16_t field = (uint16_t)~model_sum(0, header, sizeof header);
        uint16_t before = get16(header + 4), after = (uint16_t)random32();
        put16(header + 4, after);
        CHECK_EQ(csum_update(field, before, after), (uint16_t)~model_sum(0, header, sizeof header));
    }
}

const struct test checksum_tests[] = {
    {"sums equal the bytewise model at every length and alignment", sums_equal_the_model},
    {"a sum of 64 kilobytes of ones does not overflow", sum_of_64_kilobytes_does_not_overflow},
    {"sums of parts at even offsets add up", parts_at_even_offsets_add_up},
    {"folding keeps the value of extreme sums", fold_keeps_the_value_of_extreme_sums},
    {"pseudo-headers of both families equal the model", pseudo_headers_equal_the_model},
    {"the incremental update equals a new sum", incremental_update_equals_a_new_sum},
    {NULL, NULL},
};
