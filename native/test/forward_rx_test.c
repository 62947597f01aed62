/*
 * Covers core/forward from the underlay to the TUN: who is admitted, what is answered, offload that
 * a sender left undone, and where one datagram ends and the next begins.
 */
#include "bed.h"

static const struct peer *peer(const struct bed *b, uint32_t row)
{
    return &b->tables->peers[row];
}

/* From a pod of the first peer to one of this host. */
#define INBOUND(...) SAMPLE(.src = "10.42.2.5", .dst = "10.42.1.5", __VA_ARGS__)
#define INBOUND6(...) SAMPLE(.src = "fd00:42:2::5", .dst = "fd00:42:1::5", __VA_ARGS__)

static enum drop receive_from(struct bed *b, uint32_t row, struct sample s)
{
    if (b->f.format == FORMAT_UDP)
        return bed_rx(b, peer(b, row), s.data, s.len, 0);
    struct bytes frame = bed_frame(row, &s);
    return bed_rx(b, peer(b, row), frame.data, frame.len, 0);
}

static void check_admitted(const struct bed *b, const struct sample *s)
{
    CHECK_EQ(b->out.len, s->len);
    CHECK_BYTES(b->out.data, s->data, s->len);
    CHECK_EQ(b->out.gso, GSO_NONE);
    CHECK(!b->out.partial);
}

static void packets_of_peers_are_admitted_untouched(void)
{
    for (int format = FORMAT_UDP; format <= FORMAT_VXLAN; format++) {
        struct bed *b = bed_new((enum format)format);
        struct sample s = INBOUND(.payload = 99, .ttl = 1);
        CHECK_EQ(receive_from(b, 0, s), DROP_NONE);
        check_admitted(b, &s);
        CHECK_EQ(bed_counter(b, COUNTER_RX_FORWARDED), 1);
        CHECK_EQ(peer(b, 0)->state->stats->rx_packets, 1);
        CHECK_EQ(peer(b, 0)->state->stats->rx_bytes, bed_counter(b, COUNTER_RX_BYTES));
        CHECK_EQ(peer(b, 0)->state->stats->last_received_ms, b->f.now_ms);
        bed_free(b);
    }
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s6 = INBOUND6(.payload = 99);
    CHECK_EQ(receive_from(b, 1, s6), DROP_NONE);
    check_admitted(b, &s6);
    bed_free(b);
}

static void a_peers_underlay_addresses_may_be_sources(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "192.0.2.2", .dst = "10.42.1.5")), DROP_NONE);
    CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "2001:db8::2", .dst = "fd00:42:1::5")), DROP_NONE);
    CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "192.0.2.3", .dst = "10.42.1.5")), DROP_spoofed);
    CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "::ffff:192.0.2.2", .dst = "fd00:42:1::5")),
             DROP_martian);
    bed_free(b);
}

static void a_dual_stack_peer_may_use_either_of_its_sockets(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s = INBOUND(.payload = 9), s6 = INBOUND6(.payload = 9);
    struct bytes v4 = bed_frame(0, &s), v6 = bed_frame(1, &s6);
    CHECK_EQ(bed_rx(b, peer(b, 1), v4.data, v4.len, 0), DROP_NONE);
    CHECK_EQ(bed_rx(b, peer(b, 0), v6.data, v6.len, 0), DROP_NONE);
    CHECK_EQ(bed_rx(b, peer(b, 2), v4.data, v4.len, 0), DROP_bad_mac);
    bed_free(b);
}

static void padding_is_trimmed(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s = INBOUND(.payload = 2);
    struct bytes frame = bed_frame(0, &s);
    uint8_t *padded = owned(VXLAN_OVERHEAD + 46);
    memcpy(padded, frame.data, frame.len);
    CHECK_EQ(bed_rx(b, peer(b, 0), padded, VXLAN_OVERHEAD + 46, 0), DROP_NONE);
    check_admitted(b, &s);
    bed_free(b);
}

static void inner_packets_are_checked(void)
{
    static const uint8_t route[] = {137, 3, 4, 0};
    for (int format = FORMAT_UDP; format <= FORMAT_VXLAN; format++) {
        struct bed *b = bed_new((enum format)format);
        struct sample s = INBOUND(.payload = 9);
        for (size_t len = 0; len < s.len; len++) {
            struct sample cut = s;
            cut.len = len;
            CHECK_EQ(receive_from(b, 0, cut), DROP_runt);
        }
        s.data[8]--;
        CHECK_EQ(receive_from(b, 0, s), DROP_bad_checksum);
        s.data[0] = 0x44;
        CHECK_EQ(receive_from(b, 0, s), DROP_bad_header);
        s = INBOUND(.payload = 9);
        s.data[8] = 0;
        seal(&s);
        CHECK_EQ(receive_from(b, 0, s), DROP_ttl);
        CHECK_EQ(receive_from(b, 0, INBOUND(.extra = route, .extra_len = 4)), DROP_source_route);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "127.0.0.1", .dst = "10.42.1.5")), DROP_martian);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "10.42.1.7", .dst = "10.42.1.5")), DROP_martian);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "10.42.1.5", .dst = "10.42.1.5")), DROP_martian);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "10.42.2.5", .dst = "224.0.0.1")),
                 DROP_bcast_mcast);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "10.42.3.5", .dst = "10.42.1.5")), DROP_spoofed);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "8.8.8.8", .dst = "10.42.1.5")), DROP_spoofed);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "10.42.2.5", .dst = "10.42.3.5")),
                 DROP_not_local);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "10.42.2.5", .dst = "10.42.2.9")),
                 DROP_not_local);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "10.42.2.5", .dst = "203.0.113.1")),
                 DROP_not_local);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "10.42.2.5", .dst = "10.42.1.255")),
                 DROP_bcast_mcast);
        CHECK_EQ(bed_counter(b, COUNTER_RX_FORWARDED), 0);
        CHECK_EQ(bed_datagrams(b), 0); /* nothing is reflected */
        bed_free(b);
    }
}

static void tunnels_inside_the_tunnel_are_dropped(void)
{
    struct bed *b = bed_new(FORMAT_UDP), *v = bed_new(FORMAT_VXLAN);
    CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "10.42.2.5", .dst = "192.0.2.1")), DROP_nested);
    CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "10.42.2.5", .dst = "192.0.2.3")), DROP_nested);
    CHECK_EQ(receive_from(v, 0, SAMPLE(.src = "fd00:42:2::5", .dst = "2001:db8::1")), DROP_nested);
    /* To our own socket, through the host's overlay addresses. */
    static const char *const hosts[] = {"10.42.1.0", "10.42.1.1", "fd00:42:1::", "fd00:42:1::1"};
    for (size_t i = 0; i < 4; i++) {
        struct sample s = SAMPLE(.src = i < 2 ? "10.42.2.5" : "fd00:42:2::5", .dst = hosts[i]);
        CHECK_EQ(receive_from(v, 0, s), DROP_NONE);
        put16(s.data + s.upper + 2, BED_PORT);
        seal(&s);
        CHECK_EQ(receive_from(v, 0, s), DROP_nested);
    }
    /* A tunnel of pods' own, fragments without a port, and other protocols are no business of ours. */
    struct sample pods = INBOUND(.payload = 60), tcp = INBOUND(.proto = PROTO_TCP);
    struct sample later = SAMPLE(.src = "10.42.2.5", .dst = "10.42.1.0", .fragment = 9);
    put16(pods.data + pods.upper + 2, BED_PORT);
    put16(later.data + later.upper + 2, BED_PORT);
    put16(tcp.data + tcp.upper + 2, BED_PORT);
    parse_address("10.42.1.1", tcp.data + 16);
    seal(&pods);
    seal(&tcp);
    CHECK_EQ(receive_from(v, 0, pods), DROP_NONE);
    CHECK_EQ(receive_from(v, 0, tcp), DROP_NONE);
    CHECK_EQ(receive_from(v, 0, later), DROP_NONE);
    bed_free(b);
    bed_free(v);
}

/* What each switch lets in, and nothing else. */
static void admission_has_four_exceptions(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s = INBOUND(.payload = 9);
    struct bytes bridged = bed_frame(0, &s), reserved = bed_frame(0, &s), group = bed_frame(0, &s);
    memcpy(bridged.data + 14, (const uint8_t[]){2, 9, 9, 9, 9, 9}, MAC_SIZE);
    reserved.data[7] = 1;
    group.data[0] = 0x88;
    put16(group.data + 2, 0x1234);
    for (unsigned admit = 0; admit < 16; admit++) {
        b->tables->self.admit = (uint16_t)admit;
        struct sample external = SAMPLE(.src = "203.0.113.9", .dst = "10.42.1.5");
        CHECK_EQ(receive_from(b, 0, external), admit & ADMIT_EXTERNAL ? DROP_NONE : DROP_spoofed);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "10.42.3.5", .dst = "10.42.1.5")), DROP_spoofed);
        CHECK_EQ(receive_from(b, 0, SAMPLE(.src = "192.0.2.1", .dst = "10.42.1.5")), DROP_martian);
        CHECK_EQ(bed_rx(b, peer(b, 0), bridged.data, bridged.len, 0),
                 admit & ADMIT_BRIDGED ? DROP_NONE : DROP_bad_mac);
        CHECK_EQ(bed_rx(b, peer(b, 0), reserved.data, reserved.len, 0),
                 admit & ADMIT_LENIENT ? DROP_NONE : DROP_bad_vxlan);
        CHECK_EQ(bed_rx(b, peer(b, 0), group.data, group.len, 0),
                 admit & (ADMIT_GBP | ADMIT_LENIENT) ? DROP_NONE : DROP_bad_vxlan);
    }
    memset(bridged.data + 14, 0, MAC_SIZE);
    CHECK_EQ(bed_rx(b, peer(b, 0), bridged.data, bridged.len, 0), DROP_bad_mac);
    bridged.data[14] = 1;
    CHECK_EQ(bed_rx(b, peer(b, 0), bridged.data, bridged.len, 0), DROP_bad_mac);
    reserved.data[0] = 0;
    CHECK_EQ(bed_rx(b, peer(b, 0), reserved.data, reserved.len, 0), DROP_bad_vxlan);
    bed_free(b);
}

/* RFC 6040, figure 4: rows are what the sender wrote, columns what the underlay made of the outer header. */
static void congestion_marks_are_merged(void)
{
    enum { NOT_ECT, ECT1, ECT0, CE, DROPPED };
    static const uint8_t expected[4][4] = {
        [NOT_ECT] = {[NOT_ECT] = NOT_ECT, [ECT1] = NOT_ECT, [ECT0] = NOT_ECT, [CE] = DROPPED},
        [ECT1] = {[NOT_ECT] = ECT1, [ECT1] = ECT1, [ECT0] = ECT1, [CE] = CE},
        [ECT0] = {[NOT_ECT] = ECT0, [ECT1] = ECT1, [ECT0] = ECT0, [CE] = CE},
        [CE] = {[NOT_ECT] = CE, [ECT1] = CE, [ECT0] = CE, [CE] = CE},
    };
    for (unsigned i = 0; i < 32; i++) {
        struct bed *b = bed_new(FORMAT_VXLAN);
        unsigned inner = i / 2 % 4, outer = i / 8, v6 = i % 2;
        struct sample s = v6 ? INBOUND6(.payload = 9) : INBOUND(.payload = 9);
        unsigned tos = 0xb8 | inner, result = expected[inner][outer];
        put16(s.data, v6 ? 0x6000 | tos << 4 | 5 : 0x4500 | tos);
        seal(&s);
        b->outer_tos = (uint8_t)(0x28 | outer); /* its DSCP stays outside */
        CHECK_EQ(receive_from(b, 0, s), result == DROPPED ? DROP_ecn : DROP_NONE);
        if (result != DROPPED) {
            tos = 0xb8 | result;
            put16(s.data, v6 ? 0x6000 | tos << 4 | 5 : 0x4500 | tos);
            seal(&s);
            check_admitted(b, &s);
            CHECK_EQ(b->out.ip.tos, tos);
        }
        bed_free(b);
    }
}

static void strangers_and_early_packets_are_dropped_unread(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    CHECK_EQ(bed_rx(b, NULL, (const uint8_t *)"", 0, 0), DROP_unknown_peer);
    b->f.tables = NULL;
    CHECK_EQ(bed_rx(b, NULL, (const uint8_t *)"", 0, 0), DROP_not_ready);
    b->f.tables = b->tables;
    bed_free(b);
}

/* Changes one byte of a good frame. */
static enum drop with_byte(struct bed *b, size_t at, uint8_t value)
{
    struct sample s = INBOUND(.payload = 9);
    struct bytes frame = bed_frame(0, &s);
    frame.data[at] = value;
    return bed_rx(b, peer(b, 0), frame.data, frame.len, 0);
}

static void frames_are_checked(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    CHECK_EQ(with_byte(b, 0, 0), DROP_bad_vxlan);
    CHECK_EQ(with_byte(b, 7, 1), DROP_bad_vxlan);
    CHECK_EQ(with_byte(b, 6, 4), DROP_bad_vni);
    CHECK_EQ(with_byte(b, 13, 9), DROP_bad_mac);      /* to another VTEP */
    CHECK_EQ(with_byte(b, 13, 6), DROP_NONE);         /* to our other one */
    CHECK_EQ(with_byte(b, 8, 3), DROP_bcast_mcast);   /* to a group */
    CHECK_EQ(with_byte(b, 18, 3), DROP_bad_mac);      /* from another peer's VTEP */
    CHECK_EQ(with_byte(b, 18, 1), DROP_bad_mac);      /* from ours */
    CHECK_EQ(with_byte(b, 14, 3), DROP_bad_mac);      /* from a group */
    CHECK_EQ(with_byte(b, 19, 6), DROP_NONE);         /* the peer's other VTEP */
    CHECK_EQ(with_byte(b, 20, 0x81), DROP_ethertype); /* VLAN */
    CHECK_EQ(with_byte(b, 21, 1), DROP_ethertype);
    CHECK_EQ(with_byte(b, 22, 0x65), DROP_runt); /* IPv6 it is not */
    struct sample s = INBOUND(.payload = 9);
    struct bytes frame = bed_frame(0, &s);
    put16(frame.data + 20, ETHERTYPE_IPV6);
    CHECK_EQ(bed_rx(b, peer(b, 0), frame.data, frame.len, 0), DROP_bad_header);
    memset(frame.data + 14, 0, MAC_SIZE);
    put16(frame.data + 20, ETHERTYPE_IPV4);
    CHECK_EQ(bed_rx(b, peer(b, 0), frame.data, frame.len, 0), DROP_bad_mac);
    bed_free(b);
}

static void udp_format_carries_no_ipv6(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    CHECK_EQ(receive_from(b, 0, INBOUND6(.payload = 1)), DROP_ethertype);
    bed_free(b);
}

static const uint8_t arp_request[] = {
    0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 2, 4, 10, 42, 2, 0, 0, 0, 0, 0, 0, 0, 10, 42, 1, 0,
};

/* A broadcast frame from the first peer. */
static struct bytes broadcast(uint16_t ethertype, const uint8_t *payload, size_t len)
{
    struct bytes frame = {owned(VXLAN_OVERHEAD + len), VXLAN_OVERHEAD + len};
    vxlan_write(frame.data, BED_VNI, (const uint8_t[]){255, 255, 255, 255, 255, 255},
                (const uint8_t[]){2, 0, 0, 0, 2, 4}, ethertype);
    memcpy(frame.data + VXLAN_OVERHEAD, payload, len);
    return frame;
}

static void arp_is_consumed_and_answered(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct bytes frame = broadcast(ETHERTYPE_ARP, arp_request, sizeof arp_request);
    CHECK_EQ(bed_rx(b, peer(b, 0), frame.data, frame.len, 0), DROP_NONE);
    CHECK_EQ(bed_counter(b, COUNTER_RX_CONSUMED), 1);
    CHECK_EQ(bed_datagrams(b), 1);
    CHECK_EQ(b->queue.runs[0].way.peer, 0);
    CHECK_EQ(b->queue.runs[0].packets, 0);
    struct bytes reply = bed_datagram(b, 0);
    CHECK_EQ(reply.len, VXLAN_OVERHEAD + 28);
    CHECK_BYTES(reply.data + 8, ((const uint8_t[]){2, 0, 0, 0, 2, 4, 2, 0, 0, 0, 1, 4, 8, 6, 0, 1}),
                16);
    CHECK_EQ(reply.data[VXLAN_OVERHEAD + 7], 2);
    bed_free(b);
}

static void solicitations_are_consumed_and_answered(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s = SAMPLE(.src = "fe80::2", .dst = "ff02::1:ff00:0", .proto = PROTO_ICMPV6,
                             .ttl = 255, .payload = 16);
    s.data[s.upper] = 135;
    parse_address("fd00:42:1::", s.data + s.upper + 8);
    seal(&s);
    struct bytes frame = broadcast(ETHERTYPE_IPV6, s.data, s.len);
    CHECK_EQ(bed_rx(b, peer(b, 1), frame.data, frame.len, 0), DROP_NONE);
    CHECK_EQ(bed_counter(b, COUNTER_RX_CONSUMED), 1);
    CHECK_EQ(b->queue.runs[0].way.peer, 1);
    struct bytes reply = bed_datagram(b, 0);
    CHECK_EQ(reply.len, VXLAN_OVERHEAD + 72);
    CHECK_BYTES(reply.data + 8, ((const uint8_t[]){2, 0, 0, 0, 2, 4, 2, 0, 0, 0, 1, 6, 0x86, 0xdd}),
                14);
    s.data[s.upper] = 133; /* a router solicitation */
    seal(&s);
    frame = broadcast(ETHERTYPE_IPV6, s.data, s.len);
    CHECK_EQ(bed_rx(b, peer(b, 1), frame.data, frame.len, 0), DROP_neighbour);
    bed_free(b);
}

static void neighbour_answers_are_limited(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct bytes frame = broadcast(ETHERTYPE_ARP, arp_request, sizeof arp_request);
    for (int i = 0; i < 80; i++)
        CHECK_EQ(bed_rx(b, peer(b, 0), frame.data, frame.len, 0),
                 i < 50 ? DROP_NONE : DROP_neighbour);
    CHECK_EQ(bed_datagrams(b), 50);
    b->f.now_ms++;
    CHECK_EQ(bed_rx(b, peer(b, 0), frame.data, frame.len, 0), DROP_NONE);
    frame = broadcast(ETHERTYPE_ARP, arp_request, sizeof arp_request - 1);
    CHECK_EQ(bed_rx(b, peer(b, 0), frame.data, frame.len, 0), DROP_neighbour);
    bed_free(b);
}

static enum drop receive_super(struct bed *b, const struct sample *s, size_t gro_size)
{
    struct bytes frame = bed_frame(s->family == 6, s);
    return bed_rx(b, peer(b, s->family == 6), frame.data, frame.len, gro_size);
}

/* What is handed to the kernel must be cut to `mss` by it, with a checksum it can finish. */
static void check_restored(const struct bed *b, struct sample s, size_t mss)
{
    CHECK_EQ(b->out.gso, s.proto == PROTO_TCP ? GSO_TCP : GSO_UDP);
    CHECK_EQ(b->out.mss, mss);
    CHECK(b->out.partial);
    CHECK(b->out.verified); /* may be coalesced */
    CHECK_EQ(b->out.csum_start, s.upper);
    CHECK_EQ(b->out.csum_offset, s.proto == PROTO_TCP ? 16 : 6);
    make_partial(&s);
    CHECK_EQ(b->out.len, s.len);
    CHECK_BYTES(b->out.data, s.data, s.len);
}

static void tcp_super_packets_are_restored(void)
{
    for (int partial = 0; partial < 2; partial++) {
        struct bed *b = bed_new(FORMAT_VXLAN);
        struct sample s = INBOUND(.proto = PROTO_TCP, .payload = 28000, .tcp_options = 12);
        struct sample s6 = INBOUND6(.proto = PROTO_TCP, .payload = 28000);
        if (partial) {
            make_partial(&s);
            make_partial(&s6);
        }
        CHECK_EQ(receive_super(b, &s, 0), DROP_NONE);
        check_restored(b, s, BED_MTU - 52);
        CHECK_EQ(receive_super(b, &s6, 0), DROP_NONE);
        check_restored(b, s6, BED_MTU - 60);
        bed_free(b);
    }
}

static void udp_super_packets_take_the_size_they_are_told(void)
{
    for (int partial = 0; partial < 2; partial++) {
        struct bed *b = bed_new(FORMAT_VXLAN);
        struct sample s = INBOUND(.payload = 28000);
        if (partial)
            make_partial(&s);
        CHECK_EQ(receive_super(b, &s, 1200), DROP_NONE);
        check_restored(b, s, 1200);
        CHECK_EQ(receive_super(b, &s, BED_MTU - 28), DROP_NONE);
        check_restored(b, s, BED_MTU - 28);
        CHECK_EQ(receive_super(b, &s, BED_MTU - 27), DROP_NONE); /* would not fit */
        CHECK_EQ(b->out.gso, GSO_NONE);
        CHECK_EQ(receive_super(b, &s, 0), DROP_NONE);
        CHECK_EQ(b->out.gso, GSO_NONE);
        CHECK(b->out.partial);
        bed_free(b);
    }
}

static void super_packets_with_bad_checksums_are_dropped(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s = INBOUND(.proto = PROTO_TCP, .payload = 28000);
    s.data[s.len - 1] ^= 1;
    CHECK_EQ(receive_super(b, &s, 0), DROP_bad_checksum);
    bed_free(b);
}

static void super_packets_with_bad_tcp_headers_are_dropped(void)
{
    for (uint8_t words = 0; words < 5; words++) {
        struct bed *b = bed_new(FORMAT_VXLAN);
        struct sample s = INBOUND(.proto = PROTO_TCP, .payload = 28000);
        s.data[s.upper + 12] = (uint8_t)(words << 4);
        seal(&s);
        CHECK_EQ(receive_super(b, &s, 0), DROP_bad_header);
        bed_free(b);
    }
}

static void tcp_headers_that_fill_the_mtu_leave_no_segments(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s = INBOUND(.proto = PROTO_TCP, .payload = 500, .tcp_options = 40);
    b->tables->self.mtu = 80;
    CHECK_EQ(receive_super(b, &s, 0), DROP_bad_header);
    b->tables->self.mtu = 81;
    CHECK_EQ(receive_super(b, &s, 0), DROP_NONE);
    check_restored(b, s, 1);
    bed_free(b);
}

static void large_packets_without_checksum_pass_as_they_are(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample icmp = INBOUND(.proto = PROTO_ICMP, .payload = 9000);
    CHECK_EQ(receive_super(b, &icmp, 0), DROP_NONE);
    check_admitted(b, &icmp);
    struct sample fragment = INBOUND(.payload = 9000, .fragment = 0x2000);
    CHECK_EQ(receive_super(b, &fragment, 0), DROP_NONE);
    check_admitted(b, &fragment);
    struct sample none = INBOUND(.payload = 9000);
    put16(none.data + none.upper + 6, 0);
    CHECK_EQ(receive_super(b, &none, 0), DROP_NONE);
    check_admitted(b, &none);
    bed_free(b);
}

static void small_packets_keep_partial_and_bad_checksums(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct sample s = INBOUND(.proto = PROTO_TCP, .payload = 90);
    make_partial(&s);
    CHECK_EQ(receive_super(b, &s, 0), DROP_NONE);
    CHECK(b->out.partial);
    CHECK_EQ(b->out.csum_start, 20);
    CHECK_EQ(b->out.csum_offset, 16);
    CHECK_EQ(b->out.gso, GSO_NONE);
    s = INBOUND(.proto = PROTO_TCP, .payload = 90);
    s.data[s.len - 1] ^= 1; /* the receiver's to drop */
    CHECK_EQ(receive_super(b, &s, 0), DROP_NONE);
    check_admitted(b, &s);
    bed_free(b);
}

static void trains_are_split_and_whole_packets_are_not(void)
{
    struct bed *v = bed_new(FORMAT_VXLAN), *u = bed_new(FORMAT_UDP);
    struct sample s = INBOUND(.payload = 1000), one = INBOUND(.payload = 28000);
    struct bytes frame = bed_frame(0, &s), whole = bed_frame(0, &one);

    /* Three frames and a shorter one. */
    uint8_t *train = owned(3 * frame.len + 200);
    for (size_t i = 0; i < 3; i++)
        memcpy(train + i * frame.len, frame.data, frame.len);
    CHECK_EQ(bed_split(v, train, 3 * frame.len + 200, frame.len), frame.len);
    CHECK_EQ(bed_split(v, train, frame.len, frame.len), frame.len);
    CHECK_EQ(bed_split(v, train, 200, frame.len), 200);
    CHECK_EQ(bed_split(v, train, 3 * frame.len, 0), 3 * frame.len);

    /* One super-packet whose gro_size is that of its inner segments. */
    CHECK_EQ(bed_split(v, whole.data, whole.len, 1000), whole.len);
    CHECK_EQ(bed_split(u, one.data, one.len, 1000), one.len);

    /* Too short to look inside. */
    CHECK_EQ(bed_split(v, owned(20), 20, 10), 10);
    CHECK_EQ(bed_split(v, owned(VXLAN_OVERHEAD), VXLAN_OVERHEAD, 10), 10);
    CHECK_EQ(bed_split(u, owned(1), 0, 10), 0);
    bed_free(v);
    bed_free(u);
}

const struct test forward_rx_tests[] = {
    {"packets of peers are admitted untouched", packets_of_peers_are_admitted_untouched},
    {"a peer's underlay addresses may be sources", a_peers_underlay_addresses_may_be_sources},
    {"a dual-stack peer may use either of its sockets",
     a_dual_stack_peer_may_use_either_of_its_sockets},
    {"padding is trimmed", padding_is_trimmed},
    {"inner packets are checked", inner_packets_are_checked},
    {"tunnels inside the tunnel are dropped", tunnels_inside_the_tunnel_are_dropped},
    {"admission has four exceptions", admission_has_four_exceptions},
    {"congestion marks are merged", congestion_marks_are_merged},
    {"strangers and early packets are dropped unread",
     strangers_and_early_packets_are_dropped_unread},
    {"frames are checked", frames_are_checked},
    {"the udp format carries no IPv6", udp_format_carries_no_ipv6},
    {"ARP is consumed and answered", arp_is_consumed_and_answered},
    {"solicitations are consumed and answered", solicitations_are_consumed_and_answered},
    {"neighbour answers are limited", neighbour_answers_are_limited},
    {"TCP super-packets are restored", tcp_super_packets_are_restored},
    {"UDP super-packets take the size they are told",
     udp_super_packets_take_the_size_they_are_told},
    {"super-packets with bad checksums are dropped", super_packets_with_bad_checksums_are_dropped},
    {"super-packets with bad TCP headers are dropped",
     super_packets_with_bad_tcp_headers_are_dropped},
    {"TCP headers that fill the MTU leave no segments",
     tcp_headers_that_fill_the_mtu_leave_no_segments},
    {"large packets without checksum pass as they are",
     large_packets_without_checksum_pass_as_they_are},
    {"small packets keep partial and bad checksums", small_packets_keep_partial_and_bad_checksums},
    {"trains are split, and whole packets are not", trains_are_split_and_whole_packets_are_not},
    {NULL, NULL},
};
