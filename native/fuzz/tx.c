/*
 * tx: bytes as read(2) of the TUN returns them → tun_read → forward_tx → datagrams. Each packet, or each segment of a
 * super-packet, arrives at the other end as a slow model says it left: one hop older, checksums complete, in one
 * datagram or in fragments that add up to it; none larger than the path carries.
 *
 * File: choices, MTU of the path (2; 0: not known), offload header (struct virtio_net_hdr), packet.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../io/tun.h"
#include "../io/uapi_compat.h"

enum { DATAGRAMS = 65536 };
/* No byte of a packet is less than two behind it. */
#define NOWHERE (SIZE_MAX - 1)

struct choices {
    bool vxlan, no_gso, seal_ip, partial, no_ecn;
    uint16_t path;
};

/* What the send queue was flushed of, datagram by datagram. */
struct wire {
    struct bed *bed;
    void (*send)(void *owner);
    struct bytes datagrams[DATAGRAMS];
    const struct peer *peers[DATAGRAMS];
    uint8_t tos[DATAGRAMS];
    size_t count;
    size_t taken;
};

static void collect(void *owner)
{
    struct wire *wire = owner;
    struct sendq *q = &wire->bed->queue;
    for (size_t i = 0; i < q->run_count; i++) {
        const struct run *run = &q->runs[i];
        uint8_t *all = owned(run->bytes), *end = all;
        for (size_t j = 0; j < run->pieces; j++) {
            const struct iovec *piece = &q->pieces[run->first_piece + j];
            memcpy(end, piece->iov_base, piece->iov_len);
            end += piece->iov_len;
        }
        CHECK_EQ(end - all, run->bytes);
        for (size_t at = 0; at < run->bytes && CHECK(wire->count < DATAGRAMS); at += run->size) {
            size_t left = run->bytes - at;
            wire->peers[wire->count] = &wire->bed->tables->peers[run->way.peer];
            wire->tos[wire->count] = run->way.tos;
            wire->datagrams[wire->count++] =
                (struct bytes){all + at, left < run->size ? left : run->size};
        }
    }
    wire->send(wire->bed);
}

/* --- reading -------------------------------------------------------------------------------------------------- */

/* Through a file instead of the device. */
static bool read_packet(const struct virtio_net_hdr *header, struct bytes bytes, struct packet *p)
{
    static int file = -1;
    if (file < 0)
        file = memfd_create("tun", 0);
    struct tun_room room = {
        .data = (uint8_t *)owned(HEADROOM + (bytes.len > 0 ? bytes.len : 1)) + HEADROOM,
    };
    struct tun tun = {.fd = file};
    if (ftruncate(file, 0) != 0 || pwrite(file, header, sizeof *header, 0) != sizeof *header ||
        pwrite(file, bytes.data, bytes.len, sizeof *header) != (ssize_t)bytes.len ||
        lseek(file, 0, SEEK_SET) != 0)
        abort();
    return tun_read(&tun, &room, p) == 0;
}

/* An offload header that fits the packet, but for its segment size. */
static void fit(struct virtio_net_hdr *header, const struct sample *s)
{
    make_partial(s);
    header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header->csum_start = (uint16_t)s->upper;
    header->csum_offset = s->proto == PROTO_TCP ? 16 : 6;
    if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
        header->gso_type = s->proto == PROTO_UDP ? VIRTIO_NET_HDR_GSO_UDP_L4
                           : s->family == 4      ? VIRTIO_NET_HDR_GSO_TCPV4
                                                 : VIRTIO_NET_HDR_GSO_TCPV6;
}

static bool take_packet(struct input *in, const struct choices *c, struct packet *p)
{
    struct virtio_net_hdr header;
    struct sample s;
    take_bytes(in, &header, sizeof header);
    struct bytes bytes = take_rest(in, 0);
    if (bytes.len == 0)
        return false;
    if (c->seal_ip)
        seal_header(bytes.data, bytes.len);
    if (c->partial && find_layout(bytes.data, bytes.len, &s) &&
        (s.proto == PROTO_TCP || s.proto == PROTO_UDP) && s.len - s.upper >= TCP_HEADER)
        fit(&header, &s);
    return read_packet(&header, bytes, p);
}

/* --- what must arrive ----------------------------------------------------------------------------------------- */

/* The packet after this hop. */
static void age(const struct sample *s)
{
    s->data[s->family == 4 ? 8 : 7]--;
    seal_header(s->data, s->len);
}

static struct sample model_single(const struct packet *before)
{
    struct sample s = {.data = owned_copy(before->data, before->len), .len = before->len};
    bool first = find_layout(s.data, s.len, &s);
    if (!first) { /* a later fragment: lengths alone */
        s.family = s.data[0] >> 4;
        s.len = s.family == 4 ? get16(s.data + 2) : IPV6_HEADER + (size_t)get16(s.data + 4);
    }
    if (before->partial) {
        size_t field = before->csum_start + (size_t)before->csum_offset;
        uint16_t sum =
            (uint16_t)~model_sum(0, s.data + before->csum_start, s.len - before->csum_start);
        put16(s.data + field, sum == 0 && s.proto == PROTO_UDP ? 0xffff : sum);
    }
    age(&s);
    return s;
}

/* Segment `index` of a super-packet, checksums and all. */
static struct sample model_segment(const struct packet *before, size_t index, bool *last)
{
    struct sample whole;
    find_layout(before->data, before->len, &whole);
    bool tcp = whole.proto == PROTO_TCP;
    size_t headers = whole.upper + (tcp ? (size_t)(whole.data[whole.upper + 12] >> 4) * 4 : 8);
    size_t at = headers + index * before->mss;
    size_t size = whole.len - at < before->mss ? whole.len - at : before->mss;
    struct sample s = whole;
    s.len = headers + size;
    s.data = owned(s.len);
    memcpy(s.data, whole.data, headers);
    memcpy(s.data + headers, whole.data + at, size);
    *last = at + size == whole.len;
    uint8_t *upper = s.data + s.upper;
    if (s.family == 4) {
        put16(s.data + 2, (unsigned)s.len);
        put16(s.data + 4, get16(s.data + 4) + (unsigned)index);
    } else {
        put16(s.data + 4, (unsigned)(s.len - IPV6_HEADER));
    }
    if (tcp) {
        put32(upper + 4, get32(upper + 4) + (uint32_t)(index * before->mss));
        upper[13] &= (uint8_t) ~((*last ? 0 : 0x09) | (index == 0 ? 0 : 0x80)); /* FIN, PSH · CWR */
    } else {
        put16(upper + 4, (unsigned)(s.len - s.upper));
    }
    seal(&s);
    age(&s);
    return s;
}

/* --- what does arrive ----------------------------------------------------------------------------------------- */

/* What fits into one datagram to where the next one goes. */
static size_t mtu_of_next(const struct wire *wire, const struct choices *c)
{
    size_t i = wire->taken < wire->count ? wire->taken : 0;
    size_t outer = (ip_is_mapped(wire->peers[i]->address) ? 28 : 48) + (c->vxlan ? 22u : 0u);
    if (c->path == 0 || c->path >= BED_MTU + outer)
        return BED_MTU;
    return c->path > outer ? c->path - outer : 0;
}

static uint8_t tos_of(const uint8_t *data)
{
    return data[0] >> 4 == 4 ? data[1] : (uint8_t)(get16(data) >> 4);
}

/* The next datagram, out of its encapsulation. */
static struct bytes take_datagram(struct wire *wire, const struct choices *c)
{
    if (!CHECK(wire->taken < wire->count))
        return (struct bytes){NULL, 0};
    size_t i = wire->taken, mtu = mtu_of_next(wire, c), overhead = c->vxlan ? VXLAN_OVERHEAD : 0;
    struct bytes d = wire->datagrams[i], inner = {d.data + overhead, d.len - overhead};
    wire->taken++;
    CHECK(inner.len <= mtu);
    CHECK(inner.data[inner.data[0] >> 4 == 4 ? 8 : 7] > 0);
    CHECK_EQ(wire->tos[i], c->no_ecn ? tos_of(inner.data) & 0xfc : tos_of(inner.data));
    if (!c->vxlan)
        return inner;
    bool v4 = inner.data[0] >> 4 == 4;
    struct self_row self = bed_self();
    const uint8_t flags_and_vni[] = {8, 0, 0, 0, 1, 2, 3, 0};
    CHECK_BYTES(d.data, flags_and_vni, sizeof flags_and_vni);
    CHECK_BYTES(d.data + 8, wire->peers[i]->mac, MAC_SIZE);
    CHECK_BYTES(d.data + 14, self.mac[v4 ? 0 : 1], MAC_SIZE);
    CHECK_EQ(get16(d.data + 20), v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
    return inner;
}

/* 0 and 0xffff are the same in one's complement. */
static bool same_but_zero(const uint8_t *a, const uint8_t *b)
{
    return get16(a) % 0xffff == get16(b) % 0xffff;
}

/* field: where the kernel left a checksum to complete. blind: what it left there was none. */
static void check_same(struct bytes arrived, const struct sample *expected, size_t field,
                       bool blind)
{
    if (!CHECK_EQ(arrived.len, expected->len))
        return;
    for (size_t i = 0; i < arrived.len; i++) {
        bool ip = expected->family == 4 && (i & ~1u) == 10, upper = i - field < 2;
        size_t at = ip ? 10 : upper ? field : i;
        CHECK((upper && blind) ||
              (ip || upper ? same_but_zero(arrived.data + at, expected->data + at)
                           : arrived.data[i] == expected->data[i]));
    }
}

/* RFC 791 3.1: options without the copied bit stay with the first fragment; others take their place. */
static void drop_options(uint8_t *header, size_t len)
{
    for (size_t at = IPV4_HEADER; at < len && header[at] != 0;) {
        size_t size = header[at] == 1 ? 1 : at + 1 < len ? header[at + 1] : 0;
        if (size == 0 || (size == 1 && header[at] != 1) || at + size > len)
            return;
        if (header[at] < 128)
            memset(header + at, 1, size);
        at += size;
    }
}

/* The header of the fragment of a packet that begins `at` bytes behind the packet's own header. */
static void model_fragment(uint8_t header[60], const struct sample *whole, size_t at, size_t size)
{
    size_t len = (size_t)(whole->data[0] & 15) * 4;
    unsigned flags = get16(whole->data + 6), rest = (unsigned)(whole->len - len - at - size);
    memcpy(header, whole->data, len);
    if (at > 0)
        drop_options(header, len);
    put16(header + 2, (unsigned)(len + size));
    put16(header + 6, (rest > 0 || (flags & 0x2000) ? 0x2000 : 0) |
                          (((flags & 0x1fff) + (unsigned)at / 8) & 0x1fff));
    seal_header(header, len);
}

/* Takes a packet out of its fragments. */
static struct bytes reassemble(struct wire *wire, const struct choices *c,
                               const struct sample *expected)
{
    size_t header_len = (size_t)(expected->data[0] & 15) * 4, size;
    struct bytes whole = {owned_copy(expected->data, expected->len), expected->len};
    uint8_t header[60];
    CHECK(expected->family == 4 && !(expected->data[6] & 0x40));
    for (size_t at = 0; at < expected->len - header_len; at += size) {
        struct bytes d = take_datagram(wire, c);
        size = d.len - header_len;
        if (d.data == NULL || !CHECK(d.len > header_len && size <= expected->len - header_len - at))
            break;
        CHECK(size % 8 == 0 || header_len + at + size == expected->len);
        model_fragment(header, expected, at, size);
        CHECK_BYTES(d.data, header, header_len);
        memcpy(whole.data + header_len + at, d.data + header_len, size);
    }
    return whole;
}

static void check_forwarded(struct wire *wire, const struct choices *c, const struct packet *before)
{
    size_t field = before->partial ? before->csum_start + (size_t)before->csum_offset : NOWHERE;
    bool last = false;
    for (size_t i = 0; !last; i++) {
        struct sample expected;
        if (before->gso == GSO_NONE) {
            expected = model_single(before);
            last = true;
        } else {
            expected = model_segment(before, i, &last);
        }
        struct bytes arrived = expected.len <= mtu_of_next(wire, c)
                                   ? take_datagram(wire, c)
                                   : reassemble(wire, c, &expected);
        if (arrived.data == NULL)
            return;
        check_same(arrived, &expected, field, before->gso != GSO_NONE && !c->partial);
    }
    CHECK_EQ(wire->taken, wire->count);
}

/* The kernel finds the first datagram too large after all: the sender is told, about its own packet. */
static void check_too_big(struct bed *b, const struct choices *c)
{
    const struct sendq *q = &b->queue;
    const struct run *run = &q->runs[0];
    if (q->run_count == 0)
        return;
    const struct iovec *pieces = q->pieces + run->first_piece;
    size_t n = sendq_datagram(run, pieces, pieces + run->pieces);
    struct bytes first = bed_datagram(b, 0);
    size_t overhead = c->vxlan ? VXLAN_OVERHEAD : 0;
    path_learn(&b->tables->peers[run->way.peer].state->path, 4, 300, true, b->f.now_ms);
    forward_too_big(&b->f, run->way.peer, pieces, n);
    if (b->f.reply_len > 0)
        check_icmp_error(b->f.reply, b->f.reply_len, first.data + overhead, first.len - overhead);
}

void fuzz_tx(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t bits = take8(&in);
    struct choices c = {
        .vxlan = bits & 1,
        .no_gso = bits & 2,
        .seal_ip = !(bits & 4),
        .partial = bits & 8,
        .no_ecn = bits & 16,
        .path = take16(&in),
    };
    struct packet p;
    if (!take_packet(&in, &c, &p))
        return;
    struct packet before = p;
    before.data = owned_copy(p.data, p.len);

    struct bed *b = bed_new(c.vxlan ? FORMAT_VXLAN : FORMAT_UDP);
    static struct wire wire_memory;
    struct wire *wire = &wire_memory;
    wire->bed = b;
    wire->send = b->queue.send;
    wire->count = wire->taken = 0;
    b->queue.send = collect;
    b->queue.owner = wire;
    if (c.no_gso)
        b->queue.max_datagrams = 1;
    for (size_t i = 0; i < BED_PEERS; i++) {
        b->tables->peers[i].flags = c.no_ecn ? PEER_NO_ECN : 0;
        path_learn(&b->tables->peers[i].state->path, 4, c.path, true, b->f.now_ms);
    }
    enum drop reason = bed_tx(b, &p);
    if (CHECK(reason != DROP_NONE || b->f.reply_len == 0) && b->f.reply_len > 0) {
        bool v4 = before.data[0] >> 4 == 4;
        size_t len = v4 ? get16(before.data + 2) : IPV6_HEADER + (size_t)get16(before.data + 4);
        check_icmp_error(b->f.reply, b->f.reply_len, before.data, len);
    }
    check_too_big(b, &c);
    sendq_flush(&b->queue);
    if (reason == DROP_NONE)
        check_forwarded(wire, &c, &before);
    else
        CHECK_EQ(wire->count, 0);
    b->queue.send = wire->send;
    b->queue.owner = b;
    bed_free(b);
}
