/* Covers core/gso: segments add up to the super-packet, each is valid by itself, and contradictions
 * are refused. */
#include "../core/gso.h"

#include "packets.h"

enum { FIN = 1, SYN = 2, PSH = 8, ACK = 16, ECE = 64, CWR = 128 };

static struct gso_segments begin(const struct packet *p)
{
    struct ip_info ip;
    struct gso_segments g;
    CHECK_EQ(ip_parse(p->data, p->len, &ip), DROP_NONE);
    CHECK_EQ(gso_begin(&g, p, &ip), DROP_NONE);
    return g;
}

static void check_ip(const struct sample *s, const uint8_t *segment, size_t index)
{
    uint8_t expected[IPV6_HEADER + 128];
    memcpy(expected, s->data, s->upper);
    /* What may differ is taken over; packet_valid has looked at lengths and checksums. */
    if (s->family == 4) {
        memcpy(expected + 2, segment + 2, 2);
        put16(expected + 4, get16(s->data + 4) + (unsigned)index);
        memcpy(expected + 10, segment + 10, 2);
    } else {
        memcpy(expected + 4, segment + 4, 2);
    }
    CHECK_BYTES(segment, expected, s->upper);
}

static void check_tcp(const struct sample *s, const uint8_t *segment, size_t sequence, bool first,
                      bool last)
{
    const uint8_t *whole = s->data + s->upper, *tcp = segment + s->upper;
    uint8_t flags = whole[13];
    if (!last)
        flags &= (uint8_t) ~(FIN | PSH);
    if (!first)
        flags &= (uint8_t)~CWR;
    CHECK_EQ(get32(tcp + 4), (uint32_t)(get32(whole + 4) + sequence));
    CHECK_EQ(tcp[13], flags);
    CHECK_BYTES(tcp, whole, 4);
    CHECK_BYTES(tcp + 8, whole + 8, 5);
    CHECK_BYTES(tcp + 14, whole + 14, 2);
    CHECK_BYTES(tcp + 18, whole + 18, (size_t)(whole[12] >> 4) * 4 - 18);
}

/* Cuts, checks each segment, and returns how many there were. */
static size_t check_segments(const struct sample *s, uint16_t mss)
{
    const uint8_t *original = owned_copy(s->data, s->len);
    struct packet p = super_packet(s, mss);
    const uint8_t *partial = owned_copy(s->data, s->len);
    struct gso_segments g = begin(&p);
    size_t header = g.header_len, done = 0, n = 0, size;
    uint8_t *payload, *headers = owned(header);
    while (gso_next(&g, headers, &payload, &size)) {
        bool last = header + done + size == s->len;
        uint8_t *segment = owned(header + size);
        memcpy(segment, headers, header);
        memcpy(segment + header, payload, size);
        CHECK(size == mss || (last && size > 0 && size < mss));
        CHECK_BYTES(payload, original + header + done, size);
        CHECK(packet_valid(segment, header + size, s->upper, s->proto));
        check_ip(s, segment, n);
        if (s->proto == PROTO_TCP)
            check_tcp(s, segment, done, n == 0, last);
        done += size;
        n++;
    }
    CHECK_EQ(header + done, s->len);
    CHECK_BYTES(s->data, partial, s->len); /* not modified */
    return n;
}

static const char *const destinations[] = {"10.42.2.5", "fd00:42:2::5"};

static void tcp_is_cut(void)
{
    for (size_t i = 0; i < 2; i++) {
        for (uint16_t mss = 1; mss < 90; mss++) {
            struct sample s =
                SAMPLE(.dst = destinations[i], .proto = PROTO_TCP, .payload = 300,
                       .tcp_options = mss % 11 * 4, .tcp_flags = FIN | PSH | ACK | ECE | CWR);
            CHECK_EQ(check_segments(&s, mss), (300u + mss - 1) / mss);
        }
    }
}

static void udp_is_cut(void)
{
    for (size_t i = 0; i < 2; i++) {
        for (uint16_t mss = 1; mss < 90; mss++) {
            struct sample s = SAMPLE(.dst = destinations[i], .payload = 300);
            CHECK_EQ(check_segments(&s, mss), (300u + mss - 1) / mss);
        }
    }
}

static void largest_super_packets_are_cut(void)
{
    struct sample tcp4 = SAMPLE(.proto = PROTO_TCP, .payload = 65535 - 40);
    CHECK_EQ(check_segments(&tcp4, 1348), 49);
    struct sample udp6 = SAMPLE(.dst = "fd00:42:2::5", .payload = 65535 - 8);
    CHECK_EQ(check_segments(&udp6, 1), 65527);
    struct sample one = SAMPLE(.proto = PROTO_TCP, .payload = 100);
    CHECK_EQ(check_segments(&one, 65535), 1);
}

static void options_and_extensions_are_repeated(void)
{
    static const uint8_t options[] = {148, 4, 0, 0};
    static const uint8_t hop_by_hop[] = {6, 0, 1, 4, 0, 0, 0, 0};
    struct sample v4 =
        SAMPLE(.proto = PROTO_TCP, .payload = 100, .extra = options, .extra_len = sizeof options);
    CHECK_EQ(check_segments(&v4, 33), 4);
    struct sample v6 = SAMPLE(.dst = "fd00:42:2::5", .proto = PROTO_TCP, .payload = 100,
                              .extra = hop_by_hop, .extra_len = sizeof hop_by_hop);
    CHECK_EQ(check_segments(&v6, 33), 4);
}

static void a_udp_checksum_of_zero_becomes_ones(void)
{
    struct sample s = SAMPLE(.payload = 4);
    /* Two segments of two bytes; the first one's data is chosen so that its sum comes out as zero.
     */
    struct sample first = SAMPLE(.payload = 2);
    memcpy(s.data + s.upper, first.data + first.upper, 4); /* the ports */
    put16(first.data + first.len - 2, 0);
    seal(&first);
    memcpy(s.data + s.upper + 8, first.data + first.upper + 6, 2);
    struct packet p = super_packet(&s, 2);
    struct gso_segments g = begin(&p);
    uint8_t headers[GSO_HEADER_MAX], *payload;
    size_t size;
    CHECK(gso_next(&g, headers, &payload, &size));
    CHECK_EQ(get16(headers + s.upper + 6), 0xffff);
}

static enum drop begin_with(const struct sample *s, const struct packet *p)
{
    struct ip_info ip;
    struct gso_segments g;
    CHECK_EQ(ip_parse(s->data, s->len, &ip), DROP_NONE);
    return gso_begin(&g, p, &ip);
}

static void contradictions_are_refused(void)
{
    struct sample tcp = SAMPLE(.proto = PROTO_TCP, .payload = 100), udp = SAMPLE(.payload = 100);
    struct packet p = super_packet(&tcp, 50);
    CHECK_EQ(begin_with(&tcp, &p), DROP_NONE);
    p.mss = 0;
    CHECK_EQ(begin_with(&tcp, &p), DROP_bad_offload);
    p = super_packet(&tcp, 50);
    p.partial = false;
    CHECK_EQ(begin_with(&tcp, &p), DROP_bad_offload);
    p = super_packet(&tcp, 50);
    p.csum_start += 2;
    CHECK_EQ(begin_with(&tcp, &p), DROP_bad_offload);
    p = super_packet(&tcp, 50);
    p.csum_offset = 6;
    CHECK_EQ(begin_with(&tcp, &p), DROP_bad_offload);
    p = super_packet(&tcp, 50);
    p.gso = GSO_UDP;
    CHECK_EQ(begin_with(&tcp, &p), DROP_bad_offload);
    p = super_packet(&udp, 50);
    CHECK_EQ(begin_with(&udp, &p), DROP_NONE);
    p.gso = GSO_TCP;
    CHECK_EQ(begin_with(&udp, &p), DROP_bad_offload);
    struct sample fragment = SAMPLE(.payload = 100, .fragment = 0x2000);
    p = super_packet(&fragment, 50);
    CHECK_EQ(begin_with(&fragment, &p), DROP_bad_offload);
}

static void bad_tcp_header_lengths_are_refused(void)
{
    for (uint8_t words = 0; words < 16; words++) {
        struct sample s = SAMPLE(.proto = PROTO_TCP, .payload = 30);
        s.data[s.upper + 12] = (uint8_t)(words << 4);
        struct packet p = super_packet(&s, 10);
        CHECK_EQ(begin_with(&s, &p), words >= 5 && words * 4 < 50 ? DROP_NONE : DROP_bad_offload);
    }
}

static void super_packets_without_payload_are_refused(void)
{
    for (size_t len = 0; len <= TCP_HEADER; len++) {
        struct sample s = SAMPLE(.proto = 99, .payload = len);
        s.proto = s.data[9] = PROTO_TCP;
        if (len > 12)
            s.data[s.upper + 12] = 0x50;
        seal(&s);
        struct packet p = {.data = s.data,
                           .len = s.len,
                           .gso = GSO_TCP,
                           .mss = 10,
                           .partial = true,
                           .csum_start = (uint16_t)s.upper,
                           .csum_offset = 16};
        CHECK_EQ(begin_with(&s, &p), DROP_bad_offload);
    }
    struct sample udp = SAMPLE(.payload = 0);
    struct packet p = super_packet(&udp, 10);
    CHECK_EQ(begin_with(&udp, &p), DROP_bad_offload);
}

static void overlong_headers_are_refused(void)
{
    uint8_t extension[256] = {PROTO_TCP, 31, 1, 252};
    struct sample s =
        SAMPLE(.dst = "fd00:42:2::5", .proto = PROTO_TCP, .payload = 100, .extra = extension,
               .extra_len = sizeof extension, .first_extension = 60);
    struct packet p = super_packet(&s, 50);
    CHECK_EQ(begin_with(&s, &p), DROP_bad_offload);
}

const struct test gso_tests[] = {
    {"TCP is cut at every size", tcp_is_cut},
    {"UDP is cut at every size", udp_is_cut},
    {"the largest super-packets are cut", largest_super_packets_are_cut},
    {"options and extension headers are repeated", options_and_extensions_are_repeated},
    {"a UDP checksum of zero becomes ones", a_udp_checksum_of_zero_becomes_ones},
    {"contradictions between offload fields and bytes are refused", contradictions_are_refused},
    {"bad TCP header lengths are refused", bad_tcp_header_lengths_are_refused},
    {"super-packets without payload are refused", super_packets_without_payload_are_refused},
    {"overlong headers are refused", overlong_headers_are_refused},
    {NULL, NULL},
};
