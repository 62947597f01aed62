/*
 * tx: bytes as read(2) of the TUN returns them → tun_read → forward_tx → datagrams. Each packet, or each segment of a
 * super-packet, arrives at the other end as a slow model says it left: one hop older, checksums complete, in one
 * datagram or in fragments that add up to it; none larger than the tunnel carries.
 *
 * File: choices, offload header (struct virtio_net_hdr), packet.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../io/tun.h"
#include "../io/uapi_compat.h"

enum { DATAGRAMS = 65536 };

struct choices {
    bool vxlan, no_gso, seal_ip, partial;
};

/* What the send queue was flushed of, datagram by datagram. */
struct wire {
    struct bed *bed;
    void (*flush)(void *owner);
    struct bytes datagrams[DATAGRAMS];
    uint32_t peers[DATAGRAMS];
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
            wire->peers[wire->count] = run->peer;
            wire->datagrams[wire->count++] =
                (struct bytes){all + at, left < run->size ? left : run->size};
        }
    }
    q->owner = wire->bed;
    wire->flush(wire->bed);
    q->owner = wire;
}

/* --- reading -------------------------------------------------------------------------------------------------- */

/* Through a file instead of the device. */
static bool read_packet(const struct virtio_net_hdr *header, struct bytes bytes, struct packet *p)
{
    static int file = -1;
    if (file < 0)
        file = memfd_create("tun", 0);
    uint8_t *buffer = (uint8_t *)owned(HEADROOM + bytes.len) + HEADROOM;
    struct tun tun = {.fd = file};
    if (ftruncate(file, 0) != 0 || pwrite(file, header, sizeof *header, 0) != sizeof *header ||
        pwrite(file, bytes.data, bytes.len, sizeof *header) != (ssize_t)bytes.len ||
        lseek(file, 0, SEEK_SET) != 0)
        abort();
    return tun_read(&tun, buffer, bytes.len, p) == 0;
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

/* The next datagram, out of its encapsulation. */
static struct bytes take_datagram(struct wire *wire, bool vxlan)
{
    if (!CHECK(wire->taken < wire->count))
        return (struct bytes){NULL, 0};
    size_t i = wire->taken++;
    struct bytes d = wire->datagrams[i];
    if (!vxlan)
        return d;
    struct sample inner = {.data = d.data + VXLAN_OVERHEAD, .family = d.data[VXLAN_OVERHEAD] >> 4};
    struct self_row self = bed_self();
    struct peer_row peers[BED_PEERS];
    bed_peers(peers);
    const uint8_t flags_and_vni[] = {8, 0, 0, 0, 1, 2, 3, 0};
    CHECK_BYTES(d.data, flags_and_vni, sizeof flags_and_vni);
    CHECK_BYTES(d.data + 8, peers[wire->peers[i]].mac, MAC_SIZE);
    CHECK_BYTES(d.data + 14, self.mac[inner.family == 6], MAC_SIZE);
    CHECK_EQ(get16(d.data + 20), inner.family == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
    return (struct bytes){inner.data, d.len - VXLAN_OVERHEAD};
}

/* 0 and 0xffff are the same in one's complement. */
static bool same_but_zero(const uint8_t *a, const uint8_t *b)
{
    return get16(a) % 0xffff == get16(b) % 0xffff;
}

static void check_same(struct bytes arrived, const struct sample *expected)
{
    size_t field = expected->upper + (expected->proto == PROTO_TCP ? 16u : 6u);
    if (!CHECK_EQ(arrived.len, expected->len))
        return;
    for (size_t i = 0; i < arrived.len; i++) {
        bool ip = expected->family == 4 && (i & ~1u) == 10;
        bool upper = expected->upper != 0 && i - field < 2 && field + 2 <= expected->len;
        size_t at = ip ? 10 : upper ? field : i;
        CHECK(ip || upper ? same_but_zero(arrived.data + at, expected->data + at)
                          : arrived.data[i] == expected->data[i]);
    }
}

static void check_forwarded(struct wire *wire, const struct choices *c, const struct packet *before)
{
    bool last = false;
    for (size_t i = 0; !last; i++) {
        struct sample expected;
        if (before->gso == GSO_NONE) {
            expected = model_single(before);
            last = true;
        } else {
            expected = model_segment(before, i, &last);
        }
        CHECK(expected.len <= BED_MTU);
        struct bytes arrived = take_datagram(wire, c->vxlan);
        if (arrived.data == NULL)
            return;
        check_same(arrived, &expected);
    }
    CHECK_EQ(wire->taken, wire->count);
}

void fuzz_tx(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t bits = take8(&in);
    struct choices c = {
        .vxlan = bits & 1, .no_gso = bits & 2, .seal_ip = !(bits & 4), .partial = bits & 8};
    struct packet p;
    if (!take_packet(&in, &c, &p))
        return;
    struct packet before = p;
    before.data = owned_copy(p.data, p.len);

    struct bed *b = bed_new(c.vxlan ? FORMAT_VXLAN : FORMAT_UDP);
    static struct wire wire_memory;
    struct wire *wire = &wire_memory;
    wire->bed = b;
    wire->flush = b->queue.flush;
    wire->count = wire->taken = 0;
    b->queue.flush = collect;
    b->queue.owner = wire;
    if (c.no_gso)
        b->queue.max_datagrams = 1;
    enum drop reason = bed_tx(b, &p);
    collect(wire);
    if (reason == DROP_NONE)
        check_forwarded(wire, &c, &before);
    else
        CHECK_EQ(wire->count, 0);
    if (CHECK(reason != DROP_NONE || b->f.reply_len == 0) && b->f.reply_len > 0) {
        bool v4 = before.data[0] >> 4 == 4;
        size_t len = v4 ? get16(before.data + 2) : IPV6_HEADER + (size_t)get16(before.data + 4);
        check_icmp_error(b->f.reply, b->f.reply_len, before.data, len);
    }
    b->queue.owner = b;
    bed_free(b);
}
