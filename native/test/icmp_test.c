/* Covers core/icmp: each kind of error in both families, what is never answered, quotes, and the
 * limiter. */
#include "../core/icmp.h"

#include "bed.h"

static size_t answer(uint8_t *out, enum drop reason, const struct self_row *self,
                     const struct sample *s)
{
    struct ip_info ip;
    CHECK_EQ(ip_parse(s->data, s->len, &ip), DROP_NONE);
    return icmp_error(out, reason, self, BED_MTU, s->data, &ip);
}

static size_t answer_ours(uint8_t *out, enum drop reason, const struct sample *s)
{
    struct self_row self = bed_self();
    return answer(out, reason, &self, s);
}

struct kind {
    enum drop reason;
    uint8_t type4, code4, type6, code6;
    uint32_t word;
};
static const struct kind kinds[] = {
    {DROP_no_route, 3, 0, 1, 0, 0},      {DROP_own_subnet, 3, 1, 1, 3, 0},
    {DROP_family, 3, 0, 1, 0, 0},        {DROP_ttl, 11, 0, 3, 0, 0},
    {DROP_too_big, 3, 4, 2, 0, BED_MTU}, {DROP_nested, 3, 13, 1, 1, 0},
};

static void kinds_are_exact_in_ipv4(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct sample s = SAMPLE(.payload = 50);
        uint8_t out[ICMP_ERROR_MAX];
        size_t len = answer_ours(out, kinds[i].reason, &s);
        CHECK_EQ(len, 28 + s.len);
        CHECK(packet_valid(out, len, IPV4_HEADER, PROTO_ICMP));
        const uint8_t header[] = {0x45, 0xc0, 0, (uint8_t)len, 0, 0, 0, 0, 64, PROTO_ICMP};
        CHECK_BYTES(out, header, sizeof header);
        CHECK_BYTES(out + 12, ((const uint8_t[]){10, 42, 1, 0, 10, 42, 1, 5}), 8);
        CHECK_EQ(out[20], kinds[i].type4);
        CHECK_EQ(out[21], kinds[i].code4);
        CHECK_EQ(get32(out + 24), kinds[i].word); /* RFC 1191: the MTU in the lower half */
        CHECK_BYTES(out + 28, s.data, s.len);
    }
}

static void kinds_are_exact_in_ipv6(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct sample s = SAMPLE(.dst = "fd00:42:2::5", .payload = 50);
        uint8_t out[ICMP_ERROR_MAX], addresses[32];
        size_t len = answer_ours(out, kinds[i].reason, &s);
        CHECK_EQ(len, 48 + s.len);
        CHECK(packet_valid(out, len, IPV6_HEADER, PROTO_ICMPV6));
        const uint8_t header[] = {0x60, 0, 0, 0, 0, (uint8_t)(8 + s.len), PROTO_ICMPV6, 64};
        CHECK_BYTES(out, header, sizeof header);
        parse_address("fd00:42:1::", addresses);
        parse_address("fd00:42:1::5", addresses + 16);
        CHECK_BYTES(out + 8, addresses, 32);
        CHECK_EQ(out[40], kinds[i].type6);
        CHECK_EQ(out[41], kinds[i].code6);
        CHECK_EQ(get32(out + 44), kinds[i].word);
        CHECK_BYTES(out + 48, s.data, s.len);
    }
}

static void no_other_reason_is_answered(void)
{
    for (enum drop reason = DROP_NONE; reason < DROP_COUNT; reason++) {
        struct sample s = SAMPLE(.payload = 50);
        uint8_t out[ICMP_ERROR_MAX];
        bool expected = false;
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            expected |= kinds[i].reason == reason;
        CHECK_EQ(icmp_answers(reason), expected);
        CHECK_EQ(answer_ours(out, reason, &s) > 0, expected);
    }
}

static void quotes_are_limited(void)
{
    static const size_t payloads[] = {519, 520, 521, 1400, 65535 - 28};
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        uint8_t *out = owned(ICMP_ERROR_MAX);
        struct sample s = SAMPLE(.payload = payloads[i]);
        size_t len = answer_ours(out, DROP_ttl, &s);
        CHECK_EQ(len, s.len + 28 < 576 ? s.len + 28 : 576);
        CHECK(packet_valid(out, len, IPV4_HEADER, PROTO_ICMP));
        CHECK_BYTES(out + 28, s.data, len - 28);
    }
    for (size_t payload = 1183; payload < 1187; payload++) {
        uint8_t *out = owned(ICMP_ERROR_MAX);
        struct sample s = SAMPLE(.dst = "fd00:42:2::5", .payload = payload);
        size_t len = answer_ours(out, DROP_ttl, &s);
        CHECK_EQ(len, s.len + 48 < 1280 ? s.len + 48 : 1280);
        CHECK(packet_valid(out, len, IPV6_HEADER, PROTO_ICMPV6));
        CHECK_BYTES(out + 48, s.data, len - 48);
    }
}

static void padding_is_not_quoted(void)
{
    struct sample s = SAMPLE(.payload = 10);
    uint8_t out[ICMP_ERROR_MAX], *padded = owned(s.len + 20);
    memcpy(padded, s.data, s.len);
    s.data = padded;
    struct sample whole = s;
    whole.len += 20;
    CHECK_EQ(answer_ours(out, DROP_ttl, &whole), 28 + s.len);
}

static void errors_are_not_answered(void)
{
    uint8_t out[ICMP_ERROR_MAX];
    for (unsigned type = 0; type < 256; type++) {
        struct sample v4 = SAMPLE(.proto = PROTO_ICMP, .payload = 30);
        struct sample v6 = SAMPLE(.dst = "fd00:42:2::5", .proto = PROTO_ICMPV6, .payload = 30);
        v4.data[v4.upper] = v6.data[v6.upper] = (uint8_t)type;
        bool error4 = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
        CHECK_EQ(answer_ours(out, DROP_ttl, &v4) == 0, error4);
        CHECK_EQ(answer_ours(out, DROP_ttl, &v6) == 0, type < 128 || type == 137);
    }
    struct sample empty = SAMPLE(.proto = 99); /* ICMP without even a type */
    empty.data[9] = PROTO_ICMP;
    seal(&empty);
    CHECK_EQ(answer_ours(out, DROP_ttl, &empty), 0);
}

static void errors_behind_extension_headers_are_not_answered(void)
{
    static const uint8_t hop_by_hop[] = {PROTO_ICMPV6, 0, 1, 4, 0, 0, 0, 0};
    uint8_t out[ICMP_ERROR_MAX];
    struct sample s = SAMPLE(.dst = "fd00:42:2::5", .proto = PROTO_ICMPV6, .payload = 30,
                             .extra = hop_by_hop, .extra_len = sizeof hop_by_hop);
    CHECK(answer_ours(out, DROP_ttl, &s) > 0);
    s.data[s.upper] = 3;
    CHECK_EQ(answer_ours(out, DROP_ttl, &s), 0);
}

static void only_the_first_fragment_is_answered(void)
{
    uint8_t out[ICMP_ERROR_MAX];
    struct sample first = SAMPLE(.payload = 40, .fragment = 0x2000);
    struct sample later = SAMPLE(.payload = 40, .fragment = 0x2001);
    struct sample last = SAMPLE(.payload = 40, .fragment = 0x0001);
    CHECK(answer_ours(out, DROP_ttl, &first) > 0);
    CHECK_EQ(answer_ours(out, DROP_ttl, &later), 0);
    CHECK_EQ(answer_ours(out, DROP_ttl, &last), 0);
}

static void a_host_without_an_address_says_nothing(void)
{
    uint8_t out[ICMP_ERROR_MAX];
    struct self_row self = bed_self();
    struct sample v4 = SAMPLE(.payload = 1), v6 = SAMPLE(.dst = "fd00:42:2::5");
    memset(self.address6, 0, 16);
    CHECK(answer(out, DROP_ttl, &self, &v4) > 0);
    CHECK_EQ(answer(out, DROP_ttl, &self, &v6), 0);
    memset(self.address4, 0, 4);
    CHECK_EQ(answer(out, DROP_ttl, &self, &v4), 0);
}

static bool allowed(struct icmp_limiter *limiter, uint32_t host, uint64_t now_ms)
{
    uint8_t address[4];
    put32(address, 0x0a2a0100 + host);
    return icmp_allowed(limiter, DROP_ttl, 4, address, now_ms);
}

static void one_target_gets_six_then_one_a_second(void)
{
    struct icmp_limiter *limiter = owned(sizeof *limiter);
    uint64_t now = 5000;
    for (int i = 0; i < 10; i++)
        CHECK_EQ(allowed(limiter, 7, now), i < 6);
    CHECK(!allowed(limiter, 7, now + 999));
    CHECK(allowed(limiter, 7, now + 1000));
    CHECK(!allowed(limiter, 7, now + 1001));
    CHECK(!allowed(limiter, 7, now + 1999));
    CHECK(allowed(limiter, 7, now + 2000));
    now += 3600 * 1000; /* a pause fills it up, not more */
    for (int i = 0; i < 10; i++)
        CHECK_EQ(allowed(limiter, 7, now), i < 6);
}

static void path_mtu_discovery_is_limited_in_total_only(void)
{
    struct icmp_limiter *limiter = owned(sizeof *limiter);
    const uint8_t address[] = {10, 42, 1, 5};
    for (int i = 0; i < 60; i++)
        CHECK_EQ(icmp_allowed(limiter, DROP_too_big, 4, address, 5000), i < 50);
}

static void no_ipv6_sender_is_told_less_than_the_minimum(void)
{
    struct self_row self = bed_self();
    struct sample s = SAMPLE(.dst = "fd00:42:2::5", .payload = 1300), v4 = SAMPLE(.payload = 1300);
    struct ip_info ip;
    uint8_t out[ICMP_ERROR_MAX];
    CHECK_EQ(ip_parse(s.data, s.len, &ip), DROP_NONE);
    CHECK(icmp_error(out, DROP_too_big, &self, 1279, s.data, &ip) > 0);
    CHECK_EQ(get32(out + 44), 1280);
    CHECK(icmp_error(out, DROP_too_big, &self, 1281, s.data, &ip) > 0);
    CHECK_EQ(get32(out + 44), 1281);
    CHECK_EQ(ip_parse(v4.data, v4.len, &ip), DROP_NONE);
    CHECK(icmp_error(out, DROP_too_big, &self, 600, v4.data, &ip) > 0);
    CHECK_EQ(get32(out + 24), 600);
}

static void asking_does_not_delay_the_refill(void)
{
    struct icmp_limiter *limiter = owned(sizeof *limiter);
    unsigned granted = 0;
    for (uint64_t now = 1; now <= 100000; now++)
        granted += allowed(limiter, 1, now);
    CHECK_EQ(granted, 6 + 99);
}

static void all_targets_together_get_fifty_then_one_a_millisecond(void)
{
    struct icmp_limiter *limiter = owned(sizeof *limiter);
    unsigned granted = 0;
    for (uint32_t host = 0; host < 5000; host++)
        granted += allowed(limiter, host, 777);
    CHECK_EQ(granted, 50);
    granted = 0;
    for (uint32_t host = 0; host < 5000; host++)
        granted += allowed(limiter, host, 777 + 10000); /* the targets are full, the total too */
    CHECK_EQ(granted, 50);

    struct bucket total = {0};
    for (int i = 0; i < 60; i++)
        CHECK_EQ(bucket_take(&total, 50, 1000, 100), i < 50);
    for (uint64_t now = 101; now < 300; now++) {
        CHECK(bucket_take(&total, 50, 1000, now));
        CHECK(!bucket_take(&total, 50, 1000, now));
    }
}

const struct test icmp_tests[] = {
    {"kinds are exact in IPv4", kinds_are_exact_in_ipv4},
    {"kinds are exact in IPv6", kinds_are_exact_in_ipv6},
    {"no other reason is answered", no_other_reason_is_answered},
    {"quotes are limited to 576 and 1280 bytes", quotes_are_limited},
    {"padding is not quoted", padding_is_not_quoted},
    {"errors are not answered", errors_are_not_answered},
    {"errors behind extension headers are not answered",
     errors_behind_extension_headers_are_not_answered},
    {"only the first fragment is answered", only_the_first_fragment_is_answered},
    {"a host without an address says nothing", a_host_without_an_address_says_nothing},
    {"one target gets six, then one a second", one_target_gets_six_then_one_a_second},
    {"path MTU discovery is limited in total only", path_mtu_discovery_is_limited_in_total_only},
    {"no IPv6 sender is told less than the minimum", no_ipv6_sender_is_told_less_than_the_minimum},
    {"asking does not delay the refill", asking_does_not_delay_the_refill},
    {"all targets together get fifty, then one a millisecond",
     all_targets_together_get_fifty_then_one_a_millisecond},
    {NULL, NULL},
};
