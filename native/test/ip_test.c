/*
 * Covers core/ip: every reason to refuse a header, truncation at every length, IPv6 extension
 * chains, the address rules, TTL, and the state of upper-layer checksums.
 */
#include "packets.h"

static enum drop parse(const struct sample *s, struct ip_info *ip)
{
    return ip_parse(s->data, s->len, ip);
}

static enum drop parse_copy(const uint8_t *data, size_t len)
{
    struct ip_info ip;
    return ip_parse(owned_copy(data, len), len, &ip);
}

/* Hop-by-hop, routing (of 16 bytes), destination options. */
static const uint8_t chain[] = {
    43, 0, 1, 4, 0, 0, 0, 0,                         /* hop-by-hop: PadN */
    60, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* routing: nothing left */
    17, 0, 1, 4, 0, 0, 0, 0,                         /* destination options */
};
static const uint8_t first_fragment[] = {17, 0, 0x00, 0x01, 0, 0, 0, 7};
static const uint8_t later_fragment[] = {17, 0, 0x05, 0xa8, 0, 0, 0, 7};
/* Router alert, then end of list. */
static const uint8_t options[] = {148, 4, 0, 0, 1, 1, 0, 131};

static struct sample valid_packet(size_t which)
{
    switch (which) {
    case 0:
        return SAMPLE(.payload = 37);
    case 1:
        return SAMPLE(.proto = PROTO_TCP, .tcp_options = 12, .payload = 9);
    case 2:
        return SAMPLE(.payload = 5, .extra = options, .extra_len = sizeof options);
    case 3:
        return SAMPLE(.payload = 64, .fragment = 0x2000);
    case 4:
        return SAMPLE(.dst = "fd00:42:2::5", .payload = 33);
    case 5:
        return SAMPLE(.dst = "fd00:42:2::5", .extra = chain, .extra_len = sizeof chain,
                      .payload = 3);
    case 6:
        return SAMPLE(.dst = "fd00:42:2::5", .extra = first_fragment, .payload = 3,
                      .extra_len = sizeof first_fragment, .first_extension = 44);
    default:
        return SAMPLE(.dst = "fd00:42:2::5", .extra = later_fragment, .payload = 3,
                      .extra_len = sizeof later_fragment, .first_extension = 44);
    }
}
enum { VALID_PACKETS = 8 };

static void valid_packets_are_described(void)
{
    for (size_t i = 0; i < VALID_PACKETS; i++) {
        struct sample s = valid_packet(i);
        struct ip_info ip;
        CHECK_EQ(parse(&s, &ip), DROP_NONE);
        CHECK_EQ(ip.family, s.family);
        CHECK_EQ(ip.proto, s.proto);
        CHECK_EQ(ip.upper, s.upper);
        CHECK_EQ(ip.len, s.len);
        CHECK_EQ(ip.ttl, 64);
        CHECK(ip.src == s.data + (s.family == 4 ? 12 : 8));
        CHECK(ip.dst == s.data + (s.family == 4 ? 16 : 24));
        CHECK_EQ(ip.fragment, i == 3 || i >= 6);
        CHECK_EQ(ip.later_fragment, i == 7);
    }
}

static void truncation_at_every_length_is_a_runt(void)
{
    for (size_t i = 0; i < VALID_PACKETS; i++) {
        struct sample s = valid_packet(i);
        for (size_t len = 0; len < s.len; len++)
            CHECK_EQ(parse_copy(s.data, len), DROP_runt);
    }
}

static void padding_is_not_part_of_the_packet(void)
{
    for (size_t i = 0; i < VALID_PACKETS; i++) {
        struct sample s = valid_packet(i);
        uint8_t *padded = owned(s.len + 26);
        memcpy(padded, s.data, s.len);
        struct ip_info ip;
        CHECK_EQ(ip_parse(padded, s.len + 26, &ip), DROP_NONE);
        CHECK_EQ(ip.len, s.len);
    }
}

static void versions_but_4_and_6_are_bad_headers(void)
{
    for (unsigned version = 0; version < 16; version++) {
        uint8_t byte = (uint8_t)(version << 4);
        CHECK_EQ(parse_copy(&byte, 1), version == 4 || version == 6 ? DROP_runt : DROP_bad_header);
    }
}

static void wrong_header_lengths_are_bad_headers(void)
{
    struct sample s = SAMPLE(.payload = 100);
    for (uint8_t words = 0; words < 5; words++) {
        s.data[0] = 0x40 | words;
        CHECK_EQ(parse_copy(s.data, s.len), DROP_bad_header);
    }
    s.data[0] = 0x46; /* a total length below the header's */
    put16(s.data + 2, 23);
    CHECK_EQ(parse_copy(s.data, s.len), DROP_bad_header);
    put16(s.data + 2, 0);
    CHECK_EQ(parse_copy(s.data, s.len), DROP_bad_header);
}

static void every_flipped_bit_of_an_ipv4_header_is_noticed(void)
{
    struct sample s = SAMPLE(.payload = 40, .extra = options, .extra_len = sizeof options);
    for (size_t bit = 0; bit < s.upper * 8; bit++) {
        s.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(parse_copy(s.data, s.len) != DROP_NONE);
        s.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    s.data[8]++;
    CHECK_EQ(parse_copy(s.data, s.len), DROP_bad_checksum);
}

static enum drop parse_options(const uint8_t *bytes, size_t len)
{
    struct sample s = SAMPLE(.payload = 8, .extra = bytes, .extra_len = len);
    struct ip_info ip;
    return parse(&s, &ip);
}

static void source_routes_are_refused_wherever_they_stand(void)
{
    for (size_t at = 0; at < 40; at++) {
        uint8_t bytes[40];
        memset(bytes, 1, sizeof bytes);
        bytes[at] = at % 2 == 0 ? 131 : 137;
        CHECK_EQ(parse_options(bytes, sizeof bytes), DROP_source_route);
    }
    CHECK_EQ(parse_options((const uint8_t[]){7, 7, 4, 0, 0, 0, 0, 131}, 8), DROP_source_route);
}

static void other_options_pass(void)
{
    CHECK_EQ(parse_options((const uint8_t[]){7, 7, 4, 131, 131, 131, 131, 0}, 8), DROP_NONE);
    CHECK_EQ(parse_options((const uint8_t[]){0, 131, 131, 131}, 4), DROP_NONE); /* behind the end */
    CHECK_EQ(parse_options((const uint8_t[]){1, 1, 1, 7}, 4), DROP_NONE);       /* no length */
    CHECK_EQ(parse_options((const uint8_t[]){7, 0, 131, 3}, 4), DROP_NONE);     /* no end */
    CHECK_EQ(parse_options((const uint8_t[]){7, 255, 0, 0}, 4), DROP_NONE);     /* too long */
}

static void cut_extension_chains_end_the_walk(void)
{
    for (size_t len = 0; len < sizeof chain; len++) {
        struct sample s = SAMPLE(.dst = "fd00:42:2::5", .extra = chain, .extra_len = sizeof chain);
        struct ip_info ip;
        put16(s.data + 4, (unsigned)len);
        uint8_t *copy = owned_copy(s.data, IPV6_HEADER + len);
        CHECK_EQ(ip_parse(copy, IPV6_HEADER + len, &ip), DROP_NONE);
        CHECK_EQ(ip.upper, IPV6_HEADER + (len < 8 ? 0u : len < 24 ? 8u : 24u));
        CHECK_EQ(ip.proto, len < 8 ? 0 : len < 24 ? 43 : 60);
    }
}

static void traffic_class_and_tos_are_read(void)
{
    struct sample s = SAMPLE(.payload = 0), s6 = SAMPLE(.dst = "fd00:42:2::5");
    struct ip_info ip;
    s.data[1] = 0xb9;
    seal(&s);
    CHECK_EQ(parse(&s, &ip), DROP_NONE);
    CHECK_EQ(ip.tos, 0xb9);
    put32(s6.data, 0x6b9fffff); /* the flow label around it must not leak in */
    CHECK_EQ(parse(&s6, &ip), DROP_NONE);
    CHECK_EQ(ip.tos, 0xb9);
}

static void addresses_follow_the_table(void)
{
    static const struct {
        const char *src, *dst;
        enum drop expected;
    } rows[] = {
        {"10.42.1.5", "10.42.2.5", DROP_NONE},
        {"223.255.255.255", "1.0.0.0", DROP_NONE},
        {"169.254.1.1", "169.254.169.254", DROP_NONE},
        {"0.0.0.0", "10.42.2.5", DROP_martian},
        {"0.1.2.3", "10.42.2.5", DROP_martian},
        {"127.0.0.1", "10.42.2.5", DROP_martian},
        {"224.0.0.1", "10.42.2.5", DROP_martian},
        {"240.0.0.1", "10.42.2.5", DROP_martian},
        {"255.255.255.255", "10.42.2.5", DROP_martian},
        {"10.42.1.5", "0.0.0.0", DROP_martian},
        {"10.42.1.5", "127.0.0.1", DROP_martian},
        {"10.42.1.5", "240.0.0.1", DROP_martian},
        {"10.42.1.5", "255.255.255.254", DROP_martian},
        {"10.42.1.5", "255.255.255.255", DROP_bcast_mcast},
        {"10.42.1.5", "224.0.0.251", DROP_bcast_mcast},
        {"10.42.1.5", "239.255.255.255", DROP_bcast_mcast},
        {"fd00:42:1::5", "fd00:42:2::5", DROP_NONE},
        {"2001:db8::1", "febf:ffff::1", DROP_martian},
        {"2001:db8::1", "fec0::1", DROP_NONE},
        {"::", "fd00:42:2::5", DROP_martian},
        {"::1", "fd00:42:2::5", DROP_martian},
        {"::2", "fd00:42:2::5", DROP_NONE},
        {"fe80::1", "fd00:42:2::5", DROP_martian},
        {"ff02::1", "fd00:42:2::5", DROP_martian},
        {"::ffff:10.42.2.5", "fd00:42:2::5", DROP_martian},
        {"fd00:42:1::5", "::ffff:10.42.2.5", DROP_martian},
        {"fd00:42:1::5", "::", DROP_martian},
        {"fd00:42:1::5", "::1", DROP_martian},
        {"fd00:42:1::5", "fe80::1", DROP_martian},
        {"fd00:42:1::5", "ff0e::1", DROP_bcast_mcast},
        {"::", "ff02::1:ff00:1", DROP_bcast_mcast},
        {"fe80::1", "ff02::2", DROP_bcast_mcast},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sample s = SAMPLE(.src = rows[i].src, .dst = rows[i].dst);
        struct ip_info ip;
        CHECK_EQ(parse(&s, &ip), DROP_NONE);
        if (!CHECK_EQ(ip_check_addresses(&ip), rows[i].expected))
            check_that(false, rows[i].src, rows[i].dst, (int)i);
    }
}

static void ttl_update_is_right_for_every_header(void)
{
    for (unsigned ttl = 1; ttl < 256; ttl++) {
        for (unsigned id = 0; id < 65536; id += 13) {
            uint8_t header[20] = {0x45, 0, 0, 20, 0, 0, 0, 0, 0, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
            put16(header + 4, id);
            header[8] = (uint8_t)ttl;
            put16(header + 10, (uint16_t)~model_sum(0, header, 20));
            ip_decrement_ttl(header, 4);
            uint16_t field = get16(header + 10);
            put16(header + 10, 0);
            CHECK_EQ(field, (uint16_t)~model_sum(0, header, 20));
            CHECK_EQ(header[8], ttl - 1);
        }
    }
    struct sample s6 = SAMPLE(.dst = "fd00:42:2::5", .payload = 4);
    uint8_t *before = owned_copy(s6.data, s6.len);
    ip_decrement_ttl(s6.data, 6);
    CHECK_EQ(s6.data[7], before[7] - 1);
    s6.data[7]++;
    CHECK_BYTES(s6.data, before, s6.len);
}

static enum csum_state state_of(const struct sample *s)
{
    struct ip_info ip;
    CHECK_EQ(parse(s, &ip), DROP_NONE);
    return ip_checksum_state(s->data, &ip);
}

static void states_of_upper_checksums_are_told_apart(void)
{
    static const char *const destinations[] = {"10.42.2.5", "fd00:42:2::5"};
    for (size_t i = 0; i < 4; i++) {
        struct sample s = SAMPLE(.dst = destinations[i / 2], .payload = 101,
                                 .proto = i % 2 == 0 ? PROTO_TCP : PROTO_UDP);
        CHECK_EQ(state_of(&s), CSUM_GOOD);
        s.data[s.len - 1] ^= 1;
        CHECK_EQ(state_of(&s), CSUM_BAD);
        make_partial(&s);
        CHECK_EQ(state_of(&s), CSUM_PARTIAL);
    }
    struct sample none = SAMPLE(.payload = 20), icmp = SAMPLE(.proto = PROTO_ICMP, .payload = 20);
    put16(none.data + none.upper + 6, 0);
    CHECK_EQ(state_of(&none), CSUM_NONE);
    CHECK_EQ(state_of(&icmp), CSUM_NONE);
    struct sample fragment = SAMPLE(.payload = 20, .fragment = 0x2000);
    CHECK_EQ(state_of(&fragment), CSUM_NONE);
}

static void headers_too_short_for_a_checksum_have_none(void)
{
    for (size_t len = 0; len < 18; len++) {
        struct sample s =
            SAMPLE(.proto = 99, .payload = len); /* no upper-layer header of its own */
        s.data[9] = PROTO_TCP;
        seal(&s);
        CHECK_EQ(state_of(&s), CSUM_NONE);
    }
}

static void partial_checksums_are_completed(void)
{
    for (size_t payload = 0; payload < 70; payload++) {
        struct sample s = SAMPLE(.payload = payload, .proto = payload % 2 ? PROTO_TCP : PROTO_UDP);
        struct packet p = super_packet(&s, 1);
        struct ip_info ip;
        CHECK_EQ(parse(&s, &ip), DROP_NONE);
        ip_complete_checksum(&p, &ip);
        CHECK(!p.partial);
        CHECK(packet_valid(s.data, s.len, s.upper, s.proto));
    }
}

static void a_udp_checksum_of_zero_becomes_ones(void)
{
    struct sample s = SAMPLE(.payload = 2);
    put16(s.data + s.len - 2, 0);
    seal(&s); /* now the field itself, added to the data, makes the sum zero */
    put16(s.data + s.len - 2, get16(s.data + s.upper + 6));
    struct packet p = super_packet(&s, 1);
    struct ip_info ip;
    CHECK_EQ(parse(&s, &ip), DROP_NONE);
    ip_complete_checksum(&p, &ip);
    CHECK_EQ(get16(s.data + s.upper + 6), 0xffff);
}

/* RFC 5095: type 0 with segments left is a source route; other types only hide the final destination. */
static void routing_headers_are_seen(void)
{
    uint8_t extension[] = {PROTO_UDP, 2, 0, 1, 0, 0,  0,  0,  1,  2,  3,  4,
                           5,         6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    for (unsigned i = 0; i < 4; i++) {
        extension[2] = i < 2 ? 0 : 4;
        extension[3] = i % 2;
        struct sample s = SAMPLE(.dst = "fd00:42:2::5", .payload = 20, .extra = extension,
                                 .extra_len = sizeof extension, .first_extension = 43);
        struct ip_info ip;
        enum drop reason = ip_parse(s.data, s.len, &ip);
        CHECK_EQ(reason, i == 1 ? DROP_source_route : DROP_NONE);
        if (reason == DROP_NONE) {
            CHECK_EQ(ip.routed, i == 3);
            CHECK_EQ(ip_checksum_state(s.data, &ip), i == 3 ? CSUM_NONE : CSUM_GOOD);
        }
    }
}

const struct test ip_tests[] = {
    {"valid packets are described", valid_packets_are_described},
    {"truncation at every length is a runt", truncation_at_every_length_is_a_runt},
    {"padding is not part of the packet", padding_is_not_part_of_the_packet},
    {"versions but 4 and 6 are bad headers", versions_but_4_and_6_are_bad_headers},
    {"wrong header and total lengths are bad headers", wrong_header_lengths_are_bad_headers},
    {"every flipped bit of an IPv4 header is noticed",
     every_flipped_bit_of_an_ipv4_header_is_noticed},
    {"source routes are refused wherever they stand",
     source_routes_are_refused_wherever_they_stand},
    {"other options pass, malformed ones too", other_options_pass},
    {"extension chains that are cut off end the walk", cut_extension_chains_end_the_walk},
    {"TOS and traffic class are read", traffic_class_and_tos_are_read},
    {"addresses follow the table", addresses_follow_the_table},
    {"the TTL's checksum update is right for every header", ttl_update_is_right_for_every_header},
    {"states of upper-layer checksums are told apart", states_of_upper_checksums_are_told_apart},
    {"headers too short for a checksum have none", headers_too_short_for_a_checksum_have_none},
    {"partial checksums are completed", partial_checksums_are_completed},
    {"a UDP checksum of zero becomes ones", a_udp_checksum_of_zero_becomes_ones},
    {"routing headers are seen", routing_headers_are_seen},
    {NULL, NULL},
};
