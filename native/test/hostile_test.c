/*
 * Covers all of core/ with packets that were damaged at random: nothing is read or written out of
 * bounds (which the sanitizers see), every packet is counted once (which bed_tx and bed_rx check),
 * and what passes is consistent.
 */
#include "../core/gso.h"
#include "../core/neighbour.h"

#include "bed.h"

enum { ROUNDS = 60000, OPAQUE = 50 };

/* Hop-by-hop, destination options, and a fragment header. */
static const uint8_t chain[] = {
    60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, PROTO_ICMPV6, 0, 0, 0, 0, 0, 0, 1,
};
static const uint8_t options[] = {7, 7, 4, 1, 2, 3, 4, 148, 4, 0, 0, 0};

static struct sample random_sample(bool inbound)
{
    static const uint8_t protocols[] = {PROTO_TCP, PROTO_UDP, PROTO_ICMP, PROTO_ICMPV6, OPAQUE};
    bool v6 = random_below(2), extra = random_below(3) == 0;
    struct spec spec = {
        .src = v6 ? "fd00:42:2::5" : "10.42.2.5",
        .dst = v6 ? "fd00:42:1::5" : "10.42.1.5",
        .proto = extra && v6 ? PROTO_ICMPV6 : protocols[random_below(sizeof protocols)],
        .payload = random_below(5) == 0 ? random_below(4000) : random_below(60),
        .extra = v6 ? chain : options,
        .extra_len = !extra ? 0
                     : v6   ? sizeof chain
                            : sizeof options,
        .tcp_options = random_below(11) * 4,
    };
    if (!inbound) {
        const char *src = spec.src;
        spec.src = spec.dst;
        spec.dst = src;
    }
    return make_sample(&spec);
}

/* Some changed bytes, mostly in the headers; sometimes cut; the IPv4 checksum mostly right, to get
 * further in. */
static void damage(uint8_t *data, size_t *len, size_t ip_at)
{
    for (uint32_t i = random_below(5); i > 0; i--)
        data[random_below((uint32_t)(random_below(4) ? (*len < 90 ? *len : 90) : *len))] =
            (uint8_t)random32();
    uint8_t *ip = data + ip_at;
    if (random_below(8) != 0 && ip[0] >> 4 == 4 && ip_at + (size_t)(ip[0] & 15) * 4 <= *len) {
        put16(ip + 10, 0);
        put16(ip + 10, (uint16_t)~model_sum(0, ip, (size_t)(ip[0] & 15) * 4));
    }
    if (random_below(6) == 0)
        *len = random_below((uint32_t)*len + 1);
}

static void damaged_packets_to_peers(void)
{
    for (int format = FORMAT_UDP; format <= FORMAT_VXLAN; format++) {
        struct bed *b = bed_new((enum format)format);
        for (int i = 0; i < ROUNDS; i++) {
            struct sample s = random_sample(false);
            struct packet p = plain_packet(&s);
            if (s.proto != OPAQUE && random_below(3) != 0)
                p = super_packet(&s, (uint16_t)random_below(1500));
            p.gso = (enum gso)random_below(3);
            if (random_below(10) == 0)
                p.csum_start = (uint16_t)random_below(100);
            if (random_below(10) == 0)
                p.csum_offset = (uint16_t)random32();
            damage(p.data, &p.len, 0);
            /* At the end of exactly as much memory, with the headroom in front. */
            uint8_t *memory = owned(HEADROOM + p.len);
            memcpy(memory + HEADROOM, p.data, p.len);
            p.data = memory + HEADROOM;
            bed_tx(b, &p);
            for (size_t n = bed_datagrams(b); n > 0; n--)
                CHECK(bed_datagram(b, n - 1).len <= BED_MTU + VXLAN_OVERHEAD);
            sendq_flush(&b->queue);
            b->f.now_ms++;
        }
        CHECK(bed_counter(b, COUNTER_TX_FORWARDED) > ROUNDS / 20);
        bed_free(b);
    }
}

static void check_handed_over(const struct bed *b, size_t received)
{
    const struct packet *p = &b->out;
    struct ip_info ip;
    if (p->data == NULL)
        return;
    CHECK_EQ(ip_parse(p->data, p->len, &ip), DROP_NONE);
    CHECK_EQ(ip.len, p->len);
    CHECK(p->len <= received);
    CHECK(!p->partial || p->csum_start + p->csum_offset + 2u <= p->len);
    struct gso_segments g;
    CHECK(p->gso == GSO_NONE || gso_begin(&g, p, &ip) == DROP_NONE);
    CHECK(p->gso == GSO_NONE || g.header_len + p->mss <= BED_MTU);
}

static void damaged_datagrams_of_peers(void)
{
    for (int format = FORMAT_UDP; format <= FORMAT_VXLAN; format++) {
        struct bed *b = bed_new((enum format)format);
        size_t overhead = format == FORMAT_VXLAN ? VXLAN_OVERHEAD : 0;
        for (int i = 0; i < ROUNDS; i++) {
            struct sample s = random_sample(true);
            if (random_below(3) == 0 && (s.proto == PROTO_TCP || s.proto == PROTO_UDP))
                make_partial(&s);
            struct bytes d = {s.data, s.len};
            if (format == FORMAT_VXLAN)
                d = bed_frame(random_below(BED_PEERS), &s);
            damage(d.data, &d.len, overhead);
            b->out = (struct packet){0};
            size_t gro_size = random_below(1500);
            uint8_t *copy = owned_copy(d.data, d.len);
            size_t first = bed_split(b, copy, d.len, gro_size);
            CHECK(first <= d.len && (first > 0 || d.len == 0));
            bed_rx(b, &b->tables->peers[random_below(2)], d.data, d.len, gro_size);
            check_handed_over(b, d.len);
            sendq_flush(&b->queue);
            b->f.now_ms++;
        }
        CHECK(bed_counter(b, COUNTER_RX_FORWARDED) > ROUNDS / 20);
        bed_free(b);
    }
}

static void random_bytes_as_packets(void)
{
    struct self_row self = bed_self();
    for (int i = 0; i < ROUNDS; i++) {
        size_t len = random_below(120);
        uint8_t *data = owned(len), out[ICMP_ERROR_MAX], asker[MAC_SIZE];
        struct ip_info ip;
        random_bytes(data, len);
        arp_answer(&self, data, len, out, asker);
        vxlan_check(data, len, BED_VNI, (unsigned)i % 16);
        if (len > 6 && i % 2 == 0) { /* IPv6 has no checksum that would stop it */
            data[0] = 0x60;
            put16(data + 4, random_below(80));
            data[6] = (const uint8_t[]){0, 43, 44, 60, PROTO_ICMPV6, PROTO_TCP}[random_below(6)];
        }
        if (ip_parse(data, len, &ip) != DROP_NONE)
            continue;
        CHECK(ip.upper <= ip.len && ip.len <= len);
        ip_check_addresses(&ip);
        ip_checksum_state(data, &ip);
        icmp_error(out, DROP_ttl, &self, 0, data, &ip);
        if (ndp_is(data, &ip))
            ndp_answer(&self, data, &ip, data, out, asker);
    }
}

const struct test hostile_tests[] = {
    {"damaged packets to peers", damaged_packets_to_peers},
    {"damaged datagrams of peers", damaged_datagrams_of_peers},
    {"random bytes as packets", random_bytes_as_packets},
    {NULL, NULL},
};
