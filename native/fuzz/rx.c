/*
 * rx: one message of the underlay socket → datagrams → forward_rx → coalescing → what is written to the TUN.
 *
 * File: choices (2), gro size (2), message. What is handed over was a packet of a peer to this host, byte for byte but
 * for the congestion mark; what the kernel gets to finish in it is consistent.
 */
#include "fuzz.h"

#include "../core/gro.h"
#include "../core/gso.h"

struct choices {
    unsigned sender; /* a row of the peers; one more is a stranger */
    bool seal_ip, seal_upper, partial, frame;
    uint8_t ecn; /* of the outer header */
    uint8_t admit;
    uint16_t gro_size;
};

static struct choices take_choices(struct input *in)
{
    uint8_t bits = take8(in), more = take8(in);
    return (struct choices){
        .sender = bits & 3u,
        .seal_ip = !(bits & 4),
        .seal_upper = bits & 8,
        .partial = bits & 16,
        .frame = bits & 32,
        .ecn = more & 3,
        .admit = more >> 4,
        .gro_size = take16(in),
    };
}

/* Gives a frame the headers that most of a VXLAN target's luck would otherwise be spent on. */
static void write_frame(uint8_t *data, size_t len, unsigned sender)
{
    struct sample none = {.data = data, .family = data[VXLAN_OVERHEAD] >> 4};
    struct bytes frame = bed_frame(sender, &none);
    memcpy(data, frame.data, len < VXLAN_OVERHEAD ? len : VXLAN_OVERHEAD);
}

static void prepare(const struct choices *c, uint8_t *data, size_t len, size_t overhead)
{
    struct sample s;
    if (len <= overhead)
        return;
    if (overhead > 0 && c->frame && c->sender < BED_PEERS)
        write_frame(data, len, c->sender);
    if (c->seal_ip)
        seal_header(data + overhead, len - overhead);
    if (c->seal_upper && find_layout(data + overhead, len - overhead, &s)) {
        seal(&s);
        if (c->partial && (s.proto == PROTO_TCP || s.proto == PROTO_UDP) &&
            s.len - s.upper >= TCP_HEADER)
            make_partial(&s);
    }
}

static void check_partial(const struct packet *p)
{
    struct sample s;
    if (!p->partial) {
        CHECK_EQ(p->gso, GSO_NONE);
        return;
    }
    uint8_t *copy = owned_copy(p->data, p->len);
    if (!CHECK(find_layout(copy, p->len, &s)) || !CHECK_EQ(p->csum_start, s.upper) ||
        !CHECK(p->csum_start + p->csum_offset + 2u <= p->len))
        return;
    make_partial(&s);
    CHECK_BYTES(copy, p->data, p->len);
}

/* RFC 6040 4.2, in words: a mark that the outer header carries is not lost, and nothing else of it is believed. */
static uint8_t model_ecn(uint8_t inner, uint8_t outer)
{
    if (inner == 0 || inner == 3)
        return inner;
    if (outer == 3)
        return 3;
    return inner == 2 && outer == 1 ? 1 : inner;
}

static void mark(uint8_t *data, size_t len, uint8_t outer)
{
    bool v4 = data[0] >> 4 == 4;
    unsigned first = get16(data), shift = v4 ? 0 : 4;
    uint8_t inner = (first >> shift) & 3, merged = model_ecn(inner, outer);
    put16(data, (first & ~(3u << shift)) | (unsigned)merged << shift);
    if (inner != merged)
        seal_header(data, len);
}

/* What was admitted: `received` is a copy of it from before. */
static void check_admitted(const struct bed *b, const struct packet *p, uint8_t *received)
{
    const struct ip_info *ip = &p->ip;
    struct packets segments = {0};
    CHECK_EQ(ip->len, p->len);
    CHECK(ip->ttl > 0);
    CHECK_EQ(fib_lookup(b->tables->fib, ip->family, ip->dst), FIB_LOCAL);
    CHECK(fib_lookup(b->tables->fib, ip->family, ip->src) != FIB_LOCAL);
    check_partial(p);
    mark(received, p->len, b->outer_tos);
    if (p->partial) /* its field is the kernel's business, and was checked */
        memcpy(received + p->csum_start + p->csum_offset, p->data + p->csum_start + p->csum_offset,
               2);
    CHECK_BYTES(p->data, received, p->len);
    if (p->gso != GSO_NONE && p->len / (p->mss + 1u) < 100)
        cut_super_packet(p, NULL, 0, &segments);
    for (size_t i = 0; i < segments.count; i++)
        CHECK(segments.list[i].len <= BED_MTU);
}

static void write_to_tun(void *owner, const struct packet *head, const struct iovec *payloads,
                         unsigned n)
{
    struct packets cut = {0};
    unsigned *written = owner;
    *written += n == 0 ? 1 : n;
    if (n > 0) {
        cut_super_packet(head, payloads, n, &cut);
        CHECK_EQ(cut.count, n);
    }
}

static void check_answers(struct bed *b)
{
    for (size_t i = bed_datagrams(b); i > 0; i--) {
        struct bytes answer = bed_datagram(b, i - 1);
        const uint8_t *inner = answer.data + VXLAN_OVERHEAD;
        size_t len = answer.len - VXLAN_OVERHEAD;
        CHECK_EQ(vxlan_check(answer.data, answer.len, BED_VNI, 0), DROP_NONE);
        if (get16(answer.data + VXLAN_OVERHEAD - 2) == ETHERTYPE_ARP)
            CHECK_EQ(len, 28);
        else
            CHECK(packet_valid(inner, len, IPV6_HEADER, PROTO_ICMPV6));
    }
}

static void receive(enum format format, const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct choices c = take_choices(&in);
    struct bytes message = take_rest(&in, 0);
    struct bed *b = bed_new(format);
    b->tables->self.admit = c.admit;
    b->outer_tos = c.ecn;
    struct gro *gro = owned(sizeof *gro);
    unsigned written = 0, admitted = 0;
    *gro = (struct gro){.udp = true, .write = write_to_tun, .owner = &written};
    size_t overhead = format == FORMAT_VXLAN ? VXLAN_OVERHEAD : 0, len;
    const struct peer *peer = c.sender < BED_PEERS ? &b->tables->peers[c.sender] : NULL;

    for (size_t at = 0; at < message.len; at += len) {
        uint8_t *datagram = message.data + at;
        size_t left = message.len - at;
        prepare(&c, datagram, c.gro_size != 0 && c.gro_size < left ? c.gro_size : left, overhead);
        len = bed_split(b, datagram, left, c.gro_size);
        if (!CHECK(len > 0 && len <= left))
            break;
        enum drop reason = bed_rx(b, peer, datagram, len, c.gro_size);
        CHECK(peer != NULL || reason == DROP_unknown_peer);
        CHECK(reason != DROP_ecn || c.ecn == 3);
        CHECK(reason == DROP_NONE || b->out.data == NULL);
        if (b->out.data != NULL) {
            check_admitted(b, &b->out, datagram + overhead);
            gro_receive(gro, &b->out);
            admitted++;
        }
    }
    gro_flush(gro);
    CHECK_EQ(written, admitted);
    check_answers(b);
    bed_free(b);
}

void fuzz_rx_udp(const uint8_t *data, size_t size)
{
    receive(FORMAT_UDP, data, size);
}

void fuzz_rx_vxlan(const uint8_t *data, size_t size)
{
    receive(FORMAT_VXLAN, data, size);
}
