/* Covers core/forward from the TUN to the underlay: exact datagrams, segmentation, drops and who is
 * told. */
#include "../core/flow.h"
#include "../core/gso.h"

#include "bed.h"

enum { DF = 0x4000 };

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
    CHECK_EQ(b->queue.runs[0].way.peer, 0);
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
    CHECK_EQ(b->queue.runs[0].way.peer, peer);
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
        CHECK(format == FORMAT_UDP || vxlan_check(d.data, d.len, BED_VNI, 0) == DROP_NONE);
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

static void send_from_port(struct bed *b, const char *dst, uint16_t port)
{
    struct sample s = SAMPLE(.payload = 40, .dst = dst);
    put16(s.data + s.upper, port);
    put16(s.data + s.upper + 2, 80);
    seal(&s);
    struct packet p = plain_packet(&s);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
}

static void equal_packets_of_one_flow_share_a_run(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    for (int i = 0; i < 6; i++)
        send_from_port(b, i < 4 ? "10.42.2.5" : "10.42.3.5", 4000);
    CHECK_EQ(b->queue.run_count, 2);
    CHECK_EQ(b->queue.runs[0].datagrams, 4);
    bed_free(b);
}

/* VXLAN's ports tell flows apart, and use all there are; flannel's udp has one. */
static void flows_leave_from_ports_of_their_own(void)
{
    for (enum format format = FORMAT_UDP; format <= FORMAT_VXLAN; format++) {
        struct bed *b = bed_new(format);
        unsigned used = 0;
        for (uint16_t i = 0; i < 200; i++)
            send_from_port(b, "10.42.2.5", (uint16_t)(4000 + i % 100));
        for (size_t i = 0; i < b->queue.run_count; i++)
            used |= 1u << b->queue.runs[i].way.port;
        CHECK_EQ(used, format == FORMAT_UDP ? 1 : (1u << FLOW_PORTS) - 1);
        CHECK_EQ(b->queue.run_count, format == FORMAT_UDP ? 200 / RUN_DATAGRAMS + 1 : FLOW_PORTS);
        bed_free(b);
    }
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
    check_drop(FORMAT_UDP, SAMPLE(.dst = "10.42.1.255"), DROP_bcast_mcast, 0);
    check_drop(FORMAT_UDP, SAMPLE(.src = "10.42.1.255", .dst = "10.43.0.1"), DROP_no_route, 0);
    check_drop(FORMAT_UDP, SAMPLE(.dst = "192.0.2.2"), DROP_nested, 3);
    check_drop(FORMAT_UDP, SAMPLE(.dst = "192.0.2.1"), DROP_nested, 3);
    check_drop(FORMAT_VXLAN, SAMPLE(.dst = "2001:db8::2"), DROP_nested, 1);
    check_drop(FORMAT_UDP, SAMPLE(.src = "10.42.2.9"), DROP_spoofed, 0);
    check_drop(FORMAT_UDP, SAMPLE(.src = "192.0.2.3"), DROP_spoofed, 0);
    check_drop(FORMAT_VXLAN, SAMPLE(.src = "fd00:42:2::9", .dst = "fd00:42:2::5"), DROP_spoofed, 0);
    check_drop(FORMAT_UDP, SAMPLE(.dst = "fd00:42:2::5"), DROP_family, 1);
    check_drop(FORMAT_UDP, SAMPLE(.ttl = 1), DROP_ttl, 11);
    check_drop(FORMAT_VXLAN, SAMPLE(.dst = "fd00:42:2::5", .ttl = 1), DROP_ttl, 3);
    struct sample zero = SAMPLE(.payload = 1);
    zero.data[8] = 0;
    seal(&zero);
    check_drop(FORMAT_UDP, zero, DROP_ttl, 11);
    check_drop(FORMAT_UDP, SAMPLE(.payload = BED_MTU - 27, .fragment = DF), DROP_too_big, 3);
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
    struct sample s = SAMPLE(.proto = PROTO_TCP, .payload = 9000, .fragment = DF);
    struct packet p = super_packet(&s, BED_MTU - 39);
    const uint8_t *before = owned_copy(s.data, s.len);
    CHECK_EQ(bed_tx(b, &p), DROP_too_big);
    CHECK_EQ(b->f.reply[20], 3);
    CHECK_EQ(get32(b->f.reply + 24), BED_MTU);
    CHECK_BYTES(s.data, before, s.len);
    bed_free(b);
}

/* Puts fragments together at their places and checks that they are the packet one hop on. */
static void check_fragments(struct bed *b, size_t mtu, const uint8_t *expected, size_t len,
                            size_t first, size_t count, size_t overhead)
{
    uint8_t *whole = owned(len);
    size_t header = (size_t)(expected[0] & 15) * 4;
    for (size_t i = first; i < first + count; i++) {
        struct bytes d = bed_datagram(b, i);
        const uint8_t *inner = d.data + overhead;
        struct ip_info ip;
        CHECK(d.len - overhead <= mtu);
        CHECK_EQ(ip_parse(inner, d.len - overhead, &ip), DROP_NONE); /* the header checksum too */
        CHECK_EQ(ip.len, d.len - overhead);
        bool last = i == first + count - 1;
        unsigned place = (get16(inner + 6) - get16(expected + 6)) & 0x1fff;
        CHECK_EQ(get16(inner + 6) & 0xe000, last ? get16(expected + 6) & 0xe000 : 0x2000);
        CHECK_EQ(get16(inner + 4), get16(expected + 4));
        memcpy(whole + header + place * 8, inner + header, ip.len - header);
    }
    CHECK_BYTES(whole + header, expected + header, len - header);
}

static void packets_without_df_are_fragmented(void)
{
    static const struct spec specs[] = {
        {.payload = 3000},
        {.payload = 3000, .fragment = 0x2000 | 100}, /* in the middle of a longer one */
        {.payload = 3000, .proto = PROTO_TCP, .tcp_options = 12},
        {.payload = BED_MTU - 27},
    };
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        for (int format = FORMAT_UDP; format <= FORMAT_VXLAN; format++) {
            struct bed *b = bed_new((enum format)format);
            struct sample s = make_sample(&specs[i]);
            const uint8_t *expected = one_hop_on(&s);
            struct packet p = plain_packet(&s);
            CHECK_EQ(bed_tx(b, &p), DROP_NONE);
            size_t room = (BED_MTU - 20) / 8 * 8, count = (s.len - 20 + room - 1) / room;
            CHECK_EQ(bed_datagrams(b), count);
            CHECK_EQ(b->queue.runs[0].packets, 1);
            check_fragments(b, BED_MTU, expected, s.len, 0, count,
                            format == FORMAT_VXLAN ? VXLAN_OVERHEAD : 0);
            bed_free(b);
        }
    }
}

static void fragments_carry_the_options_meant_for_them(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    /* Record route stays with the first, router alert is copied; a malformed tail is left alone. */
    static const uint8_t options[] = {7, 7, 4, 1, 2, 3, 4, 148, 4, 0, 0, 1, 68, 1, 9, 9};
    static const uint8_t later[] = {1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0, 1, 68, 1, 9, 9};
    struct sample s = SAMPLE(.payload = 2000, .extra = options, .extra_len = sizeof options);
    struct packet p = plain_packet(&s);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    CHECK_EQ(bed_datagrams(b), 2);
    CHECK_BYTES(bed_datagram(b, 0).data + 20, options, sizeof options);
    CHECK_BYTES(bed_datagram(b, 1).data + 20, later, sizeof later);
    bed_free(b);
}

static void partial_checksums_are_completed_before_fragmenting(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    struct sample s = SAMPLE(.payload = 3000);
    const uint8_t *expected = one_hop_on(&s);
    struct packet p = super_packet(&s, 0);
    p.gso = GSO_NONE;
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    check_fragments(b, BED_MTU, expected, s.len, 0, 3, 0);
    bed_free(b);
}

/* The path to a peer carries less than its interface: outer bytes, IPv4 underlay. */
static void narrow_path(struct bed *b, uint32_t row, uint32_t mtu)
{
    CHECK(path_learn(&b->tables->peers[row].state->path, row == 1 ? 6 : 4, mtu, true, b->f.now_ms));
}

static void a_narrow_path_is_kept_to_and_told(void)
{
    for (int format = FORMAT_UDP; format <= FORMAT_VXLAN; format++) {
        struct bed *b = bed_new((enum format)format);
        uint32_t inner = 1300 - (format == FORMAT_VXLAN ? 50 : 28);
        narrow_path(b, 0, 1300);
        struct sample fits = SAMPLE(.payload = inner - 28, .fragment = DF);
        struct sample other = SAMPLE(.payload = inner - 27, .fragment = DF, .dst = "10.42.3.5");
        struct packet p = plain_packet(&fits), q = plain_packet(&other);
        CHECK_EQ(bed_tx(b, &p), DROP_NONE);
        CHECK_EQ(bed_tx(b, &q), DROP_NONE); /* another peer */
        struct sample s = SAMPLE(.payload = inner - 27, .fragment = DF);
        p = plain_packet(&s);
        CHECK_EQ(bed_tx(b, &p), DROP_too_big);
        CHECK_EQ(get32(b->f.reply + 24), inner);
        CHECK_EQ(b->f.reply[20], 3);
        struct sample super = SAMPLE(.proto = PROTO_TCP, .payload = 9000, .fragment = DF);
        p = super_packet(&super, BED_MTU - 40);
        CHECK_EQ(bed_tx(b, &p), DROP_too_big);
        CHECK_EQ(get32(b->f.reply + 24), inner);
        p = super_packet(&super, (uint16_t)(inner - 40));
        CHECK_EQ(bed_tx(b, &p), DROP_NONE);
        b->f.now_ms += PATH_MTU_LIFETIME_MS; /* forgotten */
        p = plain_packet(&s);
        CHECK_EQ(bed_tx(b, &p), DROP_NONE);
        bed_free(b);
    }
    struct bed *b = bed_new(FORMAT_VXLAN);
    narrow_path(b, 1, 1400);
    struct sample s = SAMPLE(.dst = "fd00:42:2::5", .payload = 1400 - 70 - 47);
    struct packet p = plain_packet(&s);
    CHECK_EQ(bed_tx(b, &p), DROP_too_big);
    CHECK_EQ(get32(b->f.reply + 44), 1330);
    CHECK(path_learn(&b->tables->peers[1].state->path, 6, 60, true, b->f.now_ms));
    CHECK_EQ(bed_tx(b, &p), DROP_too_big); /* less than the headers alone */
    bed_free(b);
}

static void segments_without_df_are_fragmented_on_a_narrow_path(void)
{
    static const uint8_t protocols[] = {PROTO_TCP, PROTO_UDP};
    for (size_t i = 0; i < 2; i++) {
        struct bed *b = bed_new(FORMAT_VXLAN);
        narrow_path(b, 0, 700);
        struct sample s = SAMPLE(.proto = protocols[i], .payload = 3000);
        struct packet p = super_packet(&s, 1000);
        size_t header = s.upper + (i == 0 ? TCP_HEADER : UDP_HEADER);
        CHECK_EQ(bed_tx(b, &p), DROP_NONE);
        CHECK_EQ(bed_datagrams(b), 6); /* three segments in two fragments each */
        CHECK_EQ(b->queue.runs[0].packets, 1);
        for (size_t segment = 0; segment < 3; segment++) {
            uint8_t *whole = owned(header + 1000);
            struct bytes a = bed_datagram(b, 2 * segment), z = bed_datagram(b, 2 * segment + 1);
            size_t first = a.len - VXLAN_OVERHEAD;
            CHECK(first <= 650);
            CHECK_EQ(get16(a.data + VXLAN_OVERHEAD + 6), 0x2000);
            CHECK_EQ(get16(z.data + VXLAN_OVERHEAD + 6), (first - 20) / 8);
            memcpy(whole, a.data + VXLAN_OVERHEAD, first);
            memcpy(whole + first, z.data + VXLAN_OVERHEAD + 20, header + 1000 - first);
            put16(whole + 2, (unsigned)header + 1000);
            put16(whole + 6, 0);
            put16(whole + 10, 0);
            put16(whole + 10, (uint16_t)~model_sum(0, whole, 20));
            CHECK(packet_valid(whole, header + 1000, s.upper, s.proto));
            CHECK_BYTES(whole + header, s.data + header + segment * 1000, 1000);
        }
        bed_free(b);
    }
}

/* net/ipv4/ip_output.c: only a fragment that others follow ends at a multiple of eight. */
static void the_last_fragment_fills_the_path(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    enum { MTU = 38, RESERVED_FLAG = 0x8000 };
    narrow_path(b, 0, 28 + MTU);
    struct sample s = SAMPLE(.payload = 26);
    const uint8_t *expected = one_hop_on(&s);
    struct packet p = plain_packet(&s);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    CHECK_EQ(bed_datagrams(b), 2);
    check_fragments(b, MTU, expected, s.len, 0, 2, 0);
    sendq_flush(&b->queue);

    struct sample super = SAMPLE(.payload = 21, .fragment = RESERVED_FLAG);
    p = super_packet(&super, 11);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    CHECK_EQ(bed_datagrams(b), 3); /* the second segment fits, and stays as it is */
    struct bytes segment = bed_datagram(b, 2);
    CHECK_EQ(segment.len, MTU);
    CHECK_EQ(get16(segment.data + 6), RESERVED_FLAG);
    CHECK(packet_valid(segment.data, segment.len, 20, PROTO_UDP));
    bed_free(b);
}

static void paths_too_narrow_for_headers_are_too_big(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    narrow_path(b, 0, 28 + 27);
    struct sample s = SAMPLE(.payload = 100), tcp = SAMPLE(.payload = 100, .proto = PROTO_TCP);
    struct packet p = plain_packet(&s);
    const uint8_t *before = owned_copy(s.data, s.len);
    CHECK_EQ(bed_tx(b, &p), DROP_too_big);
    CHECK_BYTES(b->f.reply + 28, before, s.len); /* quoted as it came */
    narrow_path(b, 0, 28 + 28);
    p = super_packet(&tcp, 50); /* its first fragment must hold the TCP header */
    CHECK_EQ(bed_tx(b, &p), DROP_too_big);
    bed_free(b);
}

/* What the underlay refused is reported when its MTU has become known, quoting that packet alone. */
static void refused_datagrams_are_reported(void)
{
    for (int super = 0; super < 2; super++) {
        struct bed *b = bed_new(FORMAT_VXLAN);
        struct sample s = SAMPLE(.payload = 1200, .proto = PROTO_TCP, .fragment = DF);
        const uint8_t *expected = one_hop_on(&s);
        struct packet p = super ? super_packet(&s, 1200) : plain_packet(&s);
        CHECK_EQ(bed_tx(b, &p), DROP_NONE);
        const struct run *run = &b->queue.runs[0];
        const struct iovec *pieces = &b->queue.pieces[run->first_piece];
        forward_too_big(&b->f, run->way.peer, pieces, run->pieces);
        CHECK_EQ(b->f.reply_len, 0); /* nothing is known */
        narrow_path(b, 0, 1280);
        forward_too_big(&b->f, run->way.peer, pieces, run->pieces);
        CHECK_EQ(b->f.reply_len, 576);
        CHECK_EQ(b->f.reply[20], 3);
        CHECK_EQ(b->f.reply[21], 4);
        CHECK_EQ(get32(b->f.reply + 24), 1230);
        CHECK_BYTES(b->f.reply + 28, expected, 548);
        bed_free(b);
    }
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s = SAMPLE(.payload = 1200); /* will be fragmented from now on */
    struct packet p = plain_packet(&s);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    narrow_path(b, 0, 1280 - 30);
    forward_too_big(&b->f, 0, b->queue.pieces, 1);
    CHECK_EQ(b->f.reply_len, 0);
    bed_free(b);
    /* The quote ends where the datagram ends. */
    b = bed_new(FORMAT_VXLAN);
    struct sample v6 = SAMPLE(.dst = "fd00:42:2::5", .payload = 1300);
    p = plain_packet(&v6);
    CHECK_EQ(bed_tx(b, &p), DROP_NONE);
    narrow_path(b, 1, 1370);
    forward_too_big(&b->f, 1, b->queue.pieces, 1);
    CHECK_EQ(b->f.reply_len, 1280);
    CHECK_EQ(get32(b->f.reply + 44), 1300);
    bed_free(b);
}

static void dscp_and_ecn_are_copied_outward(void)
{
    for (unsigned i = 0; i < 16; i++) {
        struct bed *b = bed_new(FORMAT_VXLAN);
        bool v6 = i & 1, compatible = i & 2;
        unsigned tos = 0xb8 | i >> 2;
        struct sample s = SAMPLE(.dst = v6 ? "fd00:42:2::5" : "10.42.2.5", .payload = 9);
        put16(s.data, v6 ? 0x6000 | tos << 4 : 0x4500 | tos);
        seal(&s);
        b->tables->peers[v6].flags = compatible ? PEER_NO_ECN : 0;
        struct packet p = plain_packet(&s);
        CHECK_EQ(bed_tx(b, &p), DROP_NONE);
        CHECK_EQ(b->queue.runs[0].way.tos, compatible ? 0xb8 : tos);
        bed_free(b);
    }
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
    {"equal packets of one flow share a run", equal_packets_of_one_flow_share_a_run},
    {"flows leave from ports of their own", flows_leave_from_ports_of_their_own},
    {"drops are counted, and answered where they should be", drops_are_counted_and_answered},
    {"packets of exactly the MTU pass", packets_of_exactly_the_mtu_pass},
    {"segments above the MTU are too big", segments_above_the_mtu_are_too_big},
    {"packets without DF are fragmented", packets_without_df_are_fragmented},
    {"fragments carry the options meant for them", fragments_carry_the_options_meant_for_them},
    {"partial checksums are completed before fragmenting",
     partial_checksums_are_completed_before_fragmenting},
    {"a narrow path is kept to, and told", a_narrow_path_is_kept_to_and_told},
    {"segments without DF are fragmented on a narrow path",
     segments_without_df_are_fragmented_on_a_narrow_path},
    {"the last fragment fills the path", the_last_fragment_fills_the_path},
    {"paths too narrow for headers are too big", paths_too_narrow_for_headers_are_too_big},
    {"refused datagrams are reported", refused_datagrams_are_reported},
    {"DSCP and ECN are copied outward", dscp_and_ecn_are_copied_outward},
    {"super-packets that contradict themselves are refused",
     super_packets_that_contradict_themselves_are_refused},
    {"before the first tables nothing goes", before_the_first_tables_nothing_goes},
    {"replies are limited and counted", replies_are_limited_and_counted},
    {NULL, NULL},
};
