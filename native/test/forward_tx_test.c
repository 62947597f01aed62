/* Covers core/forward from the TUN to the underlay: exact datagrams, segmentation, drops and who is
 * told. */
#include "../core/gso.h"

#include "bed.h"

/* The packet as it must arrive: one hop less. */
static const uint8_t *one_hop_on(const struct sample *s)
{
    struct sample copy = *s;
    copy.data = owned_copy(s->data, s->len);
    copy.data[s->family == 4 ? 8 : 7]--;
    seal(&copy);
    return copy.data;
}

static void udp_format_is_the_packet_itself(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    struct sample s = SAMPLE(.payload = 77);
    const uint8_t *expected = one_hop_on(&s);
    struct packet p = plain_packet(&s);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    CHECK_EQ(bed_datagrams(b), 1);
    CHECK_EQ(b->queue.runs[0].peer, 0);
    CHECK_EQ(b->queue.runs[0].packets, 1);
    CHECK_EQ(bed_datagram(b, 0).len, s.len);
    CHECK_BYTES(bed_datagram(b, 0).data, expected, s.len);
    CHECK_EQ(b->f.reply_len, 0);
    bed_free(b);
}

static void check_vxlan(const char *dst, uint32_t peer, const uint8_t *ethernet)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s = SAMPLE(.dst = dst, .payload = 77);
    const uint8_t *expected = one_hop_on(&s);
    struct packet p = plain_packet(&s);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    CHECK_EQ(bed_datagrams(b), 1);
    CHECK_EQ(b->queue.runs[0].peer, peer);
    struct bytes d = bed_datagram(b, 0);
    CHECK_EQ(d.len, VXLAN_OVERHEAD + s.len);
    CHECK_BYTES(d.data, ((const uint8_t[]){8, 0, 0, 0, 1, 2, 3, 0}), 8);
    CHECK_BYTES(d.data + 8, ethernet, ETHERNET_HEADER);
    CHECK_BYTES(d.data + VXLAN_OVERHEAD, expected, s.len);
    bed_free(b);
}

static void vxlan_format_is_exact(void)
{
    check_vxlan("10.42.2.5", 0, (const uint8_t[]){2, 0, 0, 0, 2, 4, 2, 0, 0, 0, 1, 4, 8, 0});
    check_vxlan("fd00:42:2::5", 1,
                (const uint8_t[]){2, 0, 0, 0, 2, 6, 2, 0, 0, 0, 1, 6, 0x86, 0xdd});
    check_vxlan("10.42.3.5", 2, (const uint8_t[]){2, 0, 0, 0, 3, 4, 2, 0, 0, 0, 1, 4, 8, 0});
}

static void padding_is_trimmed(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    struct sample s = SAMPLE(.payload = 3);
    uint8_t *padded = owned(HEADROOM + s.len + 30);
    memcpy(padded + HEADROOM, s.data, s.len);
    struct packet p = {.data = padded + HEADROOM, .len = s.len + 30};
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    CHECK_EQ(bed_datagram(b, 0).len, s.len);
    bed_free(b);
}

static void partial_checksums_are_completed(void)
{
    static const char *const destinations[] = {"10.42.2.5", "fd00:42:2::5"};
    for (size_t i = 0; i < 4; i++) {
        struct bed *b = bed_new(FORMAT_VXLAN);
        struct sample s = SAMPLE(.dst = destinations[i / 2], .payload = 51,
                                 .proto = i % 2 ? PROTO_TCP : PROTO_UDP);
        struct packet p = super_packet(&s, 0);
        p.gso = GSO_NONE;
        CHECK_EQ(bed_tx(b, &p), DROP_NONE);
        struct bytes d = bed_datagram(b, 0);
        CHECK(packet_valid(d.data + VXLAN_OVERHEAD, d.len - VXLAN_OVERHEAD, s.upper, s.proto));
        bed_free(b);
    }
}

static void wrong_checksum_places_are_refused(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    static const struct {
        uint16_t start, offset;
    } places[] = {{0, 6}, {18, 6}, {22, 6}, {65535, 6}, {20, 7 + 10}, {20, 65535}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct sample s = SAMPLE(.payload = 10);
        struct packet p = plain_packet(&s);
        p.partial = true;
        p.csum_start = places[i].start;
        p.csum_offset = places[i].offset;
        CHECK_EQ(bed_tx(b, &p), DROP_bad_offload);
        CHECK_EQ(b->f.reply_len, 0);
    }
    bed_free(b);
}

/* Sends a super-packet and checks that what the receiver puts together is what was sent. */
static void check_super(enum format format, const struct spec *spec, uint16_t mss)
{
    struct bed *b = bed_new(format);
    struct sample s = make_sample(spec);
    const uint8_t *payload = owned_copy(s.data, s.len);
    struct packet p = super_packet(&s, mss);
    size_t overhead = format == FORMAT_VXLAN ? VXLAN_OVERHEAD : 0;
    size_t header = s.upper + (s.proto == PROTO_TCP ? TCP_HEADER : UDP_HEADER), done = header;
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    CHECK_EQ(b->flushes, 0);
    CHECK_EQ(b->queue.runs[0].packets, 1);
    for (size_t i = 0; i < bed_datagrams(b); i++) {
        struct bytes d = bed_datagram(b, i);
        const uint8_t *inner = d.data + overhead;
        size_t size = d.len - overhead - header;
        CHECK(format == FORMAT_UDP || vxlan_check(d.data, d.len, BED_VNI) == DROP_NONE);
        CHECK(packet_valid(inner, d.len - overhead, s.upper, s.proto));
        CHECK_EQ(inner[s.family == 4 ? 8 : 7], 63);
        CHECK_BYTES(inner + header, payload + done, size);
        done += size;
    }
    CHECK_EQ(done, s.len);
    bed_free(b);
}

static void super_packets_are_cut(void)
{
    for (int format = FORMAT_UDP; format <= FORMAT_VXLAN; format++) {
        check_super((enum format)format, &(struct spec){.proto = PROTO_TCP, .payload = 60000},
                    1360);
        check_super((enum format)format, &(struct spec){.payload = 30000}, 1001);
    }
    check_super(FORMAT_VXLAN,
                &(struct spec){.dst = "fd00:42:2::5", .proto = PROTO_TCP, .payload = 60000}, 1340);
    check_super(FORMAT_VXLAN, &(struct spec){.dst = "fd00:42:2::5", .payload = 30000}, 1001);
}

static void a_queue_that_fills_up_within_a_super_packet_loses_nothing(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s = SAMPLE(.proto = PROTO_TCP, .payload = 20000);
    struct packet p = super_packet(&s, 1);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    CHECK(b->flushes > 0);
    CHECK_EQ(bed_counter(b, COUNTER_TX_FORWARDED), 1); /* flushed with its first datagram */
    CHECK_EQ(bed_datagrams(b) + b->flushes * (SENDQ_PIECES / 2), 20000);
    struct bytes last = bed_datagram(b, bed_datagrams(b) - 1);
    CHECK(packet_valid(last.data + VXLAN_OVERHEAD, last.len - VXLAN_OVERHEAD, s.upper, PROTO_TCP));
    CHECK_EQ(last.data[last.len - 1], s.data[s.len - 1]);
    bed_free(b);
}

static void equal_packets_to_one_peer_share_a_run(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    for (int i = 0; i < 6; i++) {
        struct sample s = SAMPLE(.payload = 40, .dst = i < 4 ? "10.42.2.5" : "10.42.3.5");
        struct packet p = plain_packet(&s);
        CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    }
    CHECK_EQ(b->queue.run_count, 2);
    CHECK_EQ(b->queue.runs[0].datagrams, 4);
    bed_free(b);
}

static enum drop drop_of(struct bed *b, struct sample s)
{
    struct packet p = plain_packet(&s);
    enum drop reason = bed_tx(b, &p);
    CHECK_EQ(bed_datagrams(b), 0);
    return reason;
}

/* Drops one packet and checks whether an ICMP error of that type came back (0: none). */
static void check_drop(enum format format, struct sample s, enum drop expected, uint8_t icmp)
{
    struct bed *b = bed_new(format);
    CHECK_EQ(drop_of(b, s), expected);
    CHECK_EQ(b->f.reply_len > 0, icmp != 0);
    CHECK_EQ(bed_counter(b, COUNTER_TX_ICMP), icmp != 0);
    if (b->f.reply_len > 0) {
        size_t header = s.family == 4 ? (size_t)IPV4_HEADER : (size_t)IPV6_HEADER;
        size_t quote = b->f.reply_len - header - 8;
        CHECK_EQ(b->f.reply[header], icmp);
        CHECK_BYTES(b->f.reply + header + 8, s.data, quote); /* as it came: TTL not touched */
    }
    bed_free(b);
}

static void drops_are_counted_and_answered(void)
{
    struct sample bad = SAMPLE(.payload = 4);
    bad.data[10] ^= 1;
    check_drop(FORMAT_UDP, bad, DROP_bad_checksum, 0);
    bad = SAMPLE(.payload = 4);
    bad.data[0] = 0x55;
    check_drop(FORMAT_UDP, bad, DROP_bad_header, 0);
    bad = SAMPLE(.payload = 4);
    bad.len--;
    check_drop(FORMAT_UDP, bad, DROP_runt, 0);
    bad.len = 0;
    check_drop(FORMAT_UDP, bad, DROP_runt, 0);
    static const uint8_t route[] = {131, 3, 4, 0};
    check_drop(FORMAT_UDP, SAMPLE(.extra = route, .extra_len = 4), DROP_source_route, 0);
    check_drop(FORMAT_UDP, SAMPLE(.src = "127.0.0.1"), DROP_martian, 0);
    check_drop(FORMAT_UDP, SAMPLE(.dst = "224.0.0.251"), DROP_bcast_mcast, 0);
    check_drop(FORMAT_VXLAN, SAMPLE(.dst = "ff02::2"), DROP_bcast_mcast, 0);
    check_drop(FORMAT_UDP, SAMPLE(.dst = "10.43.0.1"), DROP_no_route, 3);
    check_drop(FORMAT_VXLAN, SAMPLE(.dst = "fd00:42:3::1"), DROP_no_route, 1);
    check_drop(FORMAT_UDP, SAMPLE(.dst = "10.42.1.9"), DROP_own_subnet, 3);
    check_drop(FORMAT_VXLAN, SAMPLE(.dst = "fd00:42:1::9"), DROP_own_subnet, 1);
    check_drop(FORMAT_UDP, SAMPLE(.dst = "fd00:42:2::5"), DROP_family, 1);
    check_drop(FORMAT_UDP, SAMPLE(.ttl = 1), DROP_ttl, 11);
    check_drop(FORMAT_VXLAN, SAMPLE(.dst = "fd00:42:2::5", .ttl = 1), DROP_ttl, 3);
    struct sample zero = SAMPLE(.payload = 1);
    zero.data[8] = 0;
    seal(&zero);
    check_drop(FORMAT_UDP, zero, DROP_ttl, 11);
    check_drop(FORMAT_UDP, SAMPLE(.payload = BED_MTU - 27), DROP_too_big, 3);
    check_drop(FORMAT_VXLAN, SAMPLE(.dst = "fd00:42:2::5", .payload = BED_MTU - 47), DROP_too_big,
               2);
    check_drop(FORMAT_UDP, SAMPLE(.payload = 9, .fragment = 9, .ttl = 1), DROP_ttl, 0);
}

static void packets_of_exactly_the_mtu_pass(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    struct sample s = SAMPLE(.payload = BED_MTU - 28);
    struct packet p = plain_packet(&s);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    struct sample super = SAMPLE(.proto = PROTO_TCP, .payload = 9000);
    p = super_packet(&super, BED_MTU - 40);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    bed_free(b);
}

static void segments_above_the_mtu_are_too_big(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    struct sample s = SAMPLE(.proto = PROTO_TCP, .payload = 9000);
    struct packet p = super_packet(&s, BED_MTU - 39);
    const uint8_t *before = owned_copy(s.data, s.len);
    CHECK_EQ(bed_tx(b, &p), DROP_too_big);
    CHECK_EQ(b->f.reply[20], 3);
    CHECK_EQ(get32(b->f.reply + 24), BED_MTU);
    CHECK_BYTES(s.data, before, s.len);
    bed_free(b);
}

static void super_packets_that_contradict_themselves_are_refused(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s = SAMPLE(.proto = PROTO_TCP, .payload = 9000);
    struct packet p = super_packet(&s, 0);
    CHECK_EQ(bed_tx(b, &p), DROP_bad_offload);
    p = super_packet(&s, 1000);
    p.gso = GSO_UDP;
    CHECK_EQ(bed_tx(b, &p), DROP_bad_offload);
    CHECK_EQ(b->f.reply_len, 0);
    bed_free(b);
}

static void before_the_first_tables_nothing_goes(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    b->f.tables = NULL;
    CHECK_EQ(drop_of(b, SAMPLE(.payload = 3)), DROP_not_ready);
    CHECK_EQ(drop_of(b, SAMPLE(.payload = 3, .ttl = 1)), DROP_not_ready);
    CHECK_EQ(b->f.reply_len, 0);
    b->f.tables = b->tables;
    bed_free(b);
}

static void replies_are_limited_and_counted(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(drop_of(b, SAMPLE(.dst = "10.43.0.1")), DROP_no_route);
        CHECK_EQ(b->f.reply_len > 0, i < 6);
    }
    CHECK_EQ(bed_counter(b, COUNTER_TX_ICMP), 6);
    CHECK_EQ(bed_counter(b, COUNTER_TX_ICMP_LIMITED), 14);
    b->f.now_ms += 1000;
    CHECK_EQ(drop_of(b, SAMPLE(.dst = "10.43.0.1")), DROP_no_route);
    CHECK(b->f.reply_len > 0);
    struct sample s = SAMPLE(.payload = 1); /* a packet that passes leaves no old reply behind */
    struct packet p = plain_packet(&s);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    CHECK_EQ(b->f.reply_len, 0);
    bed_free(b);
}

const struct test forward_tx_tests[] = {
    {"the udp format is the packet itself, one hop on", udp_format_is_the_packet_itself},
    {"the vxlan format is exact in both families", vxlan_format_is_exact},
    {"padding is trimmed", padding_is_trimmed},
    {"partial checksums are completed", partial_checksums_are_completed},
    {"wrong checksum places are refused", wrong_checksum_places_are_refused},
    {"super-packets are cut, and add up at the receiver", super_packets_are_cut},
    {"a queue that fills up within a super-packet loses nothing",
     a_queue_that_fills_up_within_a_super_packet_loses_nothing},
    {"equal packets to one peer share a run", equal_packets_to_one_peer_share_a_run},
    {"drops are counted, and answered where they should be", drops_are_counted_and_answered},
    {"packets of exactly the MTU pass", packets_of_exactly_the_mtu_pass},
    {"segments above the MTU are too big", segments_above_the_mtu_are_too_big},
    {"super-packets that contradict themselves are refused",
     super_packets_that_contradict_themselves_are_refused},
    {"before the first tables nothing goes", before_the_first_tables_nothing_goes},
    {"replies are limited and counted", replies_are_limited_and_counted},
    {NULL, NULL},
};
