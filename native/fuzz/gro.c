/*
 * A sequence of received packets → gro_receive → super-packets → cut again: every packet is there again, byte for
 * byte but for an id that means nothing, and in the order of its flow.
 *
 * File: one byte of choices, then packets: kind, payload length, how far the sequence number is behind the
 * stream, TCP flags, number of changes, changes (offset, value).
 */
#include "fuzz.h"

#include "../core/gro.h"

enum { PACKETS = 200 };

struct sequence {
    struct bytes packets[PACKETS]; /* as they came; data is null once it was seen again */
    size_t count;
};

/* Where a flow stands. */
struct stream {
    uint32_t seq;
    uint16_t id; /* of its IPv4 packets */
};

static struct sample template_packet(struct input *in, struct stream streams[8])
{
    uint8_t kind = take8(in);
    bool v6 = kind & 4, tcp = kind & 8;
    struct sample s = make_sample(&(struct spec){
        .src = v6 ? "fd00:42:2::5" : "10.42.2.5",
        .dst = v6 ? "fd00:42:1::5" : "10.42.1.5",
        .proto = tcp ? PROTO_TCP : PROTO_UDP,
        .payload = kind & 16 ? take8(in) : 8u * take8(in),
        .tcp_options = kind & 32 ? 12 : 0,
        .fragment = kind & 128 && !v6 ? 0x4000 : 0, /* DF */
    });
    struct stream *stream = &streams[kind & 7];
    put32(s.data + s.upper, 1000 + (kind & 3)); /* the port tells flows apart */
    if (!v6)
        put16(s.data + 4, stream->id++);
    if (tcp) {
        memset(s.data + s.upper + 8, 0, 4);  /* acknowledgement */
        memset(s.data + s.upper + 14, 0, 6); /* window, checksum, urgent pointer */
        put32(s.data + s.upper + 4, stream->seq - take8(in));
        s.data[s.upper + 13] = kind & 64 ? take8(in) : 0x10;
        stream->seq += (uint32_t)(s.len - s.upper - TCP_HEADER - (kind & 32 ? 12 : 0));
    }
    return s;
}

static void change(struct input *in, struct sample *s)
{
    for (unsigned i = take8(in) & 3; i > 0; i--) {
        uint8_t at = take8(in);
        s->data[at % s->len] = take8(in);
    }
}

/* Addresses, protocol and ports; a packet too short for its TCP or UDP header is in no flow. */
static bool same_flow(struct bytes a, struct bytes b)
{
    bool v4 = a.data[0] >> 4 == 4;
    size_t addresses = v4 ? 12 : 8, ports = v4 ? IPV4_HEADER : IPV6_HEADER, protocol = v4 ? 9 : 6;
    size_t whole = ports + (a.data[protocol] == PROTO_TCP ? TCP_HEADER : UDP_HEADER);
    if (a.len < whole || b.len < whole)
        return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
    return a.data[0] >> 4 == b.data[0] >> 4 && a.data[protocol] == b.data[protocol] &&
           memcmp(a.data + addresses, b.data + addresses, ports - addresses + 4) == 0;
}

/* The id of a packet that is not fragmented means nothing (RFC 6864 4.1), and is not kept. */
static void forget_id(struct bytes packet)
{
    if (packet.data[0] >> 4 == 4 && (packet.data[6] & 0x40)) {
        put16(packet.data + 4, 0);
        seal_header(packet.data, packet.len);
    }
}

/* A packet that was written must be the next of its flow. */
static void check_next(struct sequence *sequence, struct bytes written)
{
    forget_id(written);
    for (size_t i = 0; i < sequence->count; i++) {
        struct bytes *expected = &sequence->packets[i];
        if (expected->data == NULL || !same_flow(*expected, written))
            continue;
        if (CHECK_EQ(written.len, expected->len))
            CHECK_BYTES(written.data, expected->data, written.len);
        expected->data = NULL;
        return;
    }
    CHECK(!"a packet that was never received");
}

static void write_to_tun(void *owner, const struct packet *head, const struct iovec *payloads,
                         unsigned n)
{
    if (n == 0) {
        check_next(owner, (struct bytes){owned_copy(head->data, head->len), head->len});
        return;
    }
    struct packets cut = {0};
    cut_super_packet(head, payloads, n, &cut);
    CHECK_EQ(cut.count, n);
    for (size_t i = 0; i < cut.count; i++)
        check_next(owner, cut.list[i]);
}

void fuzz_gro(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct stream streams[8] = {[1] = {0xfffff000, 0xfffe}, [4] = {.seq = 0xffffff00}};
    struct sequence *sequence = owned(sizeof *sequence);
    struct gro *gro = owned(sizeof *gro);
    *gro = (struct gro){.udp = take8(&in) & 1, .write = write_to_tun, .owner = sequence};
    while (in.left > 0 && sequence->count < PACKETS) {
        struct sample s = template_packet(&in, streams);
        change(&in, &s);
        struct sample layout;
        if (!find_layout(s.data, s.len, &layout) || layout.upper != s.upper || layout.len != s.len)
            continue;
        seal(&layout);
        if (layout.proto == PROTO_TCP && s.len >= s.upper + TCP_HEADER &&
            get16(s.data + s.upper + 16) == 0xffff)
            put16(s.data + s.upper + 16, 0); /* what a TCP sender writes */
        struct packet p = {.data = s.data, .len = s.len};
        if (ip_parse(s.data, s.len, &p.ip) != DROP_NONE || p.ip.fragment)
            continue;
        p.verified = ip_checksum_state(s.data, &p.ip) == CSUM_GOOD;
        sequence->packets[sequence->count] = (struct bytes){owned_copy(s.data, s.len), s.len};
        forget_id(sequence->packets[sequence->count++]);
        gro_receive(gro, &p);
    }
    gro_flush(gro);
    for (size_t i = 0; i < sequence->count; i++)
        CHECK(sequence->packets[i].data == NULL);
}
