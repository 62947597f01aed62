/*
 * Covers core/gro: whatever arrives, cutting what it wrote gives every packet back, byte for byte
 * and in its flow's order; what ought to be merged is; and what was received stays as it was.
 */
#include "../core/gro.h"
#include "../core/gso.h"

#include "packets.h"

enum {
    FIN = 1,
    SYN = 2,
    RST = 4,
    PSH = 8,
    ACK = 16,
    URG = 32,
    ECE = 64,
    CWR = 128,
    FLOWS = 5,
    LISTS = 2 * FLOWS,
    PACKETS_MAX = 400,
};

/* What went in and what came out, per flow: source ports from 0, destination ports 80 and 81. */
struct log {
    struct sample in[LISTS][PACKETS_MAX], out[LISTS][PACKETS_MAX];
    const uint8_t *given[LISTS][PACKETS_MAX]; /* what `in` is a copy of */
    size_t ins[LISTS], outs[LISTS];
    unsigned writes;
};

static struct sample copy_of(const uint8_t *data, size_t len)
{
    struct sample s = {.data = owned_copy(data, len), .len = len};
    return s;
}

static size_t list_of(const uint8_t *upper)
{
    return get16(upper) + (get16(upper + 2) == 80 ? 0u : FLOWS);
}

static void log_out(struct log *log, const uint8_t *data, size_t len, size_t upper)
{
    size_t flow = list_of(data + upper);
    if (CHECK(flow < LISTS) && CHECK(log->outs[flow] < PACKETS_MAX))
        log->out[flow][log->outs[flow]++] = copy_of(data, len);
}

/* What the kernel does with a packet: lays its pieces end to end, and cuts it when it is a
 * super-packet. */
static void take(void *owner, const struct packet *p, const struct iovec *payloads, unsigned n)
{
    struct log *log = owner;
    uint8_t whole[70000];
    size_t len = p->len;
    memcpy(whole, p->data, len);
    for (unsigned i = 0; i < n; i++) {
        memcpy(whole + len, payloads[i].iov_base, payloads[i].iov_len);
        len += payloads[i].iov_len;
    }
    log->writes++;
    if (p->gso == GSO_NONE) {
        CHECK_EQ(n, 0);
        log_out(log, whole, len, p->ip.upper);
        return;
    }
    struct packet super = *p;
    struct ip_info ip;
    struct gso_segments g;
    super.data = whole;
    super.len = len;
    CHECK_EQ(ip_parse(whole, len, &ip), DROP_NONE);
    CHECK_EQ(ip.len, len);
    CHECK_EQ(gso_begin(&g, &super, &ip), DROP_NONE);
    uint8_t segment[70000], *payload;
    size_t size, segments = 0;
    while (gso_next(&g, segment, &payload, &size)) {
        memcpy(segment + g.header_len, payload, size);
        log_out(log, segment, g.header_len + size, ip.upper);
        segments++;
    }
    CHECK_EQ(segments, n);
}

static struct gro *new_gro(struct log *log)
{
    struct gro *gro = owned(sizeof *gro);
    gro->udp = true;
    gro->write = take;
    gro->owner = log;
    return gro;
}

static void receive(struct gro *gro, struct log *log, const struct sample *s, bool verified)
{
    struct packet p = {.data = s->data, .len = s->len, .verified = verified};
    CHECK_EQ(ip_parse(s->data, s->len, &p.ip), DROP_NONE);
    size_t flow = list_of(s->data + s->upper);
    log->given[flow][log->ins[flow]] = s->data;
    log->in[flow][log->ins[flow]++] = copy_of(s->data, s->len);
    gro_receive(gro, &p);
}

/* The id of an IPv4 packet that is never fragmented means nothing (RFC 6864 section 4.1), and is
 * not kept. */
static void ignore_id(struct sample *s)
{
    if (s->data[0] >> 4 == 4 && (s->data[6] & 0x40)) {
        put16(s->data + 4, 0);
        put16(s->data + 10, 0);
    }
}

static void check_same(struct log *log)
{
    for (size_t flow = 0; flow < LISTS; flow++) {
        if (!CHECK_EQ(log->outs[flow], log->ins[flow]))
            continue;
        for (size_t i = 0; i < log->ins[flow]; i++) {
            struct sample *in = &log->in[flow][i], *out = &log->out[flow][i];
            CHECK_BYTES(log->given[flow][i], in->data, in->len);
            ignore_id(in);
            ignore_id(out);
            if (CHECK_EQ(out->len, in->len))
                CHECK_BYTES(out->data, in->data, in->len);
        }
    }
}

/* One packet of a flow. `place` counts its packets of that kind; TCP's sequence goes on from
 * *sequence. */
static struct sample next_of_flow(uint16_t flow, bool ipv6, uint8_t proto, size_t payload,
                                  uint8_t flags, uint32_t *sequence, uint16_t *id)
{
    struct sample s = SAMPLE(.src = ipv6 ? "fd00:42:2::5" : "10.42.2.5",
                             .dst = ipv6 ? "fd00:42:1::5" : "10.42.1.5", .proto = proto,
                             .payload = payload, .tcp_options = 12, .tcp_flags = flags);
    uint8_t *upper = s.data + s.upper;
    put16(upper, flow);
    put16(upper + 2, 80);
    if (proto == PROTO_TCP) {
        put32(upper + 4, *sequence);
        put32(upper + 8, 77);
        put16(upper + 14, 501);
        put16(upper + 18, 0);
        memset(upper + 20, 1, 12);
        *sequence += (uint32_t)payload;
    }
    if (!ipv6) {
        put16(s.data + 4, (*id)++);
        put16(s.data + 6, 0x4000);
    }
    seal(&s);
    return s;
}

/* Merges a plain stream of n packets with `size` bytes each; returns how many writes it took. */
static unsigned writes_for(bool ipv6, uint8_t proto, unsigned n, size_t size)
{
    struct log *log = owned(sizeof *log);
    struct gro *gro = new_gro(log);
    uint32_t sequence = 0xffffff00; /* wraps */
    uint16_t id = 0xfffe;
    for (unsigned i = 0; i < n; i++) {
        struct sample s = next_of_flow(1, ipv6, proto, size, ACK, &sequence, &id);
        receive(gro, log, &s, true);
    }
    gro_flush(gro);
    check_same(log);
    return log->writes;
}

static void streams_are_merged(void)
{
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        CHECK_EQ(writes_for(ipv6, PROTO_TCP, 30, 1348), 1);
        CHECK_EQ(writes_for(ipv6, PROTO_UDP, 30, 1348), 1);
        CHECK_EQ(writes_for(ipv6, PROTO_TCP, 65, 10), 2);   /* GRO_SEGMENTS */
        CHECK_EQ(writes_for(ipv6, PROTO_TCP, 60, 1348), 2); /* 64 KiB */
        CHECK_EQ(writes_for(ipv6, PROTO_TCP, 3, 0), 3);     /* acknowledgements */
        CHECK_EQ(writes_for(ipv6, PROTO_UDP, 3, 0), 3);
    }
}

static void super_packets_end_where_the_sender_ended_them(void)
{
    struct log *log = owned(sizeof *log);
    struct gro *gro = new_gro(log);
    uint32_t sequence = 1;
    uint16_t id = 1;
    static const struct {
        size_t size;
        uint8_t flags;
        unsigned writes;
    } stream[] = {
        {100, ACK, 0},        {100, ACK | PSH, 1}, /* a push ends it */
        {100, ACK, 1},        {60, ACK, 2},        /* so does a short one */
        {100, ACK, 2},        {101, ACK, 3},       /* a longer one begins anew */
        {50, ACK | FIN, 4},                        /* joins and ends */
        {100, ACK | PSH, 5},                       /* alone */
        {100, ACK, 5},        {0, ACK, 7},         /* an acknowledgement does not overtake */
        {100, ACK | SYN, 8},  {100, ACK | RST, 9}, {100, ACK | URG, 10},
        {100, ACK | CWR, 11}, {100, ACK, 11},      {100, ACK | ECE, 12}, /* ECE differs */
    };
    for (size_t i = 0; i < sizeof stream / sizeof *stream; i++) {
        struct sample s =
            next_of_flow(1, false, PROTO_TCP, stream[i].size, stream[i].flags, &sequence, &id);
        receive(gro, log, &s, true);
        CHECK_EQ(log->writes, stream[i].writes);
    }
    gro_flush(gro);
    check_same(log);
}

/* Something that speaks against merging, or nothing. */
static bool disturb(struct sample *s, uint32_t *sequence)
{
    uint8_t *upper = s->data + s->upper;
    bool tcp = s->proto == PROTO_TCP;
    switch (random_below(24)) {
    case 0:
        s->data[s->family == 4 ? 8 : 7]--; /* TTL */
        break;
    case 1:
        s->data[1] ^= 0x10; /* TOS, traffic class */
        break;
    case 2:
        if (tcp)
            put32(upper + 4, get32(upper + 4) + 1 + random_below(3));
        *sequence += random_below(2);
        break;
    case 3:
        if (tcp)
            put32(upper + 8, random_below(3)); /* acknowledges */
        break;
    case 4:
        if (tcp)
            upper[20 + random_below(12)] ^= 8; /* an option */
        break;
    case 5:
        if (tcp)
            upper[13] = (uint8_t)random32();
        break;
    case 6:
        if (s->family == 4)
            put16(s->data + 6, 0); /* DF */
        break;
    case 7:
        if (s->family == 4)
            put16(s->data + 4, random_below(4));
        break;
    case 8:
        put16(upper + 2, 81); /* another flow */
        break;
    case 9:
        if (tcp)
            upper[random_below(2) == 0 ? 12 : 15] ^= 2; /* a reserved bit, the window */
        break;
    case 10:
        seal(s);
        return false; /* a checksum that was not looked at */
    default:
        break;
    }
    seal(s);
    return true;
}

static void anything_comes_back_as_it_was(void)
{
    unsigned received = 0, written = 0;
    for (unsigned round = 0; round < 60; round++) {
        struct log *log = owned(sizeof *log);
        struct gro *gro = new_gro(log);
        uint32_t sequence[FLOWS] = {0};
        uint16_t id[FLOWS] = {0};
        gro->udp = round % 4 != 0;
        unsigned n = 20 + random_below(300);
        for (unsigned i = 0; i < n; i++) {
            uint16_t flow = (uint16_t)random_below(FLOWS);
            size_t payload = random_below(4) == 0 ? random_below(120) : 100;
            struct sample s = next_of_flow(flow, flow & 1, flow & 2 ? PROTO_UDP : PROTO_TCP,
                                           payload, ACK, &sequence[flow], &id[flow]);
            receive(gro, log, &s, disturb(&s, &sequence[flow]));
            if (random_below(40) == 0)
                gro_flush(gro);
        }
        gro_flush(gro);
        check_same(log);
        received += n;
        written += log->writes;
    }
    CHECK(written < received * 4 / 5); /* it did merge */
}

static void others_pass(void)
{
    struct log *log = owned(sizeof *log);
    struct gro *gro = new_gro(log);
    struct sample fragment = SAMPLE(.proto = PROTO_UDP, .payload = 64, .fragment = 0x2000);
    struct sample options = SAMPLE(.proto = PROTO_TCP, .payload = 64, .tcp_flags = ACK,
                                   .extra = (const uint8_t[]){148, 4, 0, 0}, .extra_len = 4);
    struct sample *all[] = {&fragment, &fragment, &options, &options};
    for (size_t i = 0; i < 4; i++) {
        put16(all[i]->data + all[i]->upper, 2);
        put16(all[i]->data + all[i]->upper + 2, 80);
        seal(all[i]);
        receive(gro, log, all[i], true);
        CHECK_EQ(log->writes, i + 1);
    }
    CHECK_EQ(gro->count, 0);
    check_same(log);
}

/* FLOWS ports in two families and two protocols are more flows than have room. */
static void the_oldest_flow_makes_room(void)
{
    struct log *log = owned(sizeof *log);
    struct gro *gro = new_gro(log);
    uint32_t sequence = 1;
    uint16_t id = 1;
    for (unsigned i = 0; i < GRO_FLOWS + 1; i++) {
        uint8_t proto = i / FLOWS % 2 == 0 ? PROTO_TCP : PROTO_UDP;
        struct sample s = next_of_flow((uint16_t)(i % FLOWS), i / FLOWS / 2 % 2 != 0, proto, 100,
                                       ACK, &sequence, &id);
        receive(gro, log, &s, true);
    }
    CHECK_EQ(log->writes, 1);
    CHECK_EQ(log->outs[0], 1); /* that of the first packet */
    CHECK_BYTES(log->out[0][0].data, log->in[0][0].data, log->in[0][0].len);
    CHECK_EQ(gro->count, GRO_FLOWS);
    gro_flush(gro);
    CHECK_EQ(log->writes, GRO_FLOWS + 1);
    check_same(log);
}

const struct test gro_tests[] = {
    {"streams are merged", streams_are_merged},
    {"super-packets end where the sender ended them",
     super_packets_end_where_the_sender_ended_them},
    {"anything comes back as it was, in its flow's order", anything_comes_back_as_it_was},
    {"the oldest flow makes room", the_oldest_flow_makes_room},
    {"packets that are nobody's to merge pass at once", others_pass},
    {0},
};
