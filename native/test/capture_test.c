/* Covers io/capture: what is recorded at each step, what the filter lets through, and the ring: full, going around,
 * and under a thread that writes while captures come and go. */
#include "../io/capture.h"

#include <errno.h>
#include <pthread.h>

#include "../core/gro.h"
#include "bed.h"

enum { ALL = 1 << DIRECTION_TX | 1 << DIRECTION_RX };

static struct captures captures;
static struct rcu rcu = {.workers = 1};

static struct capture *start(struct capture_filter filter)
{
    filter.directions = filter.directions == 0 ? ALL : filter.directions;
    filter.snaplen = filter.snaplen == 0 ? 65536 : filter.snaplen;
    CHECK_EQ(capture_start(&captures, &rcu, &filter), 0);
    return capture_enter(&captures, 0);
}

static uint64_t stop(enum capture_step step)
{
    uint64_t lost[CAPTURE_STEPS];
    capture_stop(&captures, &rcu, lost);
    CHECK(capture_enter(&captures, 0) == NULL);
    return lost[step];
}

/* Records read and not looked at yet. */
static uint8_t *unread;
static size_t unread_len;

static void read_ring(void)
{
    unread = owned(CAPTURE_RING);
    unread_len = capture_read(&captures, &rcu, unread);
}

static const struct capture_record *next_record(void)
{
    const struct capture_record *r = (const struct capture_record *)unread;
    if (unread_len == 0)
        return NULL;
    CHECK(r->size >= sizeof *r + r->captured && r->size <= unread_len);
    unread += r->size;
    unread_len -= r->size;
    return r->step == CAPTURE_SKIP ? next_record() : r;
}

static bool record_is(const struct capture_record *r, enum capture_step step, enum drop reason,
                      const uint8_t *data, size_t len)
{
    return CHECK(r != NULL) && CHECK_EQ(r->step, step) & CHECK_EQ(r->reason, reason) &
                                   CHECK_EQ(r->length, len) & CHECK_EQ(r->captured, len) &
                                   CHECK_BYTES(r + 1, data, len);
}

/* As the worker's. */
static void tx(struct bed *b, struct capture *c, struct packet *p)
{
    capture_tun_in(c, &b->f, p);
    enum drop reason = bed_tx(b, p);
    capture_verdict(c, &b->f, reason, false);
    if (b->f.reply_len > 0)
        capture_reply(c, &b->f, reason);
}

static void rx(struct bed *b, struct capture *c, uint32_t peer, struct bytes d)
{
    struct received m = {.tos = 0xb8, .port = 4242};
    memcpy(m.source, b->tables->peers[peer].address, sizeof m.source);
    capture_underlay_in(c, &b->f, &m, &(struct datagram){.data = d.data, .len = d.len});
    uint64_t consumed = bed_counter(b, COUNTER_RX_CONSUMED);
    enum drop reason = bed_rx(b, &b->tables->peers[peer], d.data, d.len, 0);
    capture_verdict(c, &b->f, reason, bed_counter(b, COUNTER_RX_CONSUMED) > consumed);
}

static void flush(struct bed *b, struct capture *c, enum drop reason)
{
    for (size_t i = 0; i < b->queue.run_count; i++)
        capture_run(c, &b->f, &b->queue.runs[i], 50000, reason);
    sendq_flush(&b->queue);
}

static void a_packet_is_shown_as_it_came_and_as_it_went(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct capture *c = start((struct capture_filter){0});
    struct sample s = SAMPLE(.payload = 77);
    const uint8_t *as_read = owned_copy(s.data, s.len);
    struct packet p = plain_packet(&s);
    tx(b, c, &p);
    struct bytes datagram = bed_datagram(b, 0);
    flush(b, c, DROP_send_failed);
    read_ring();
    const struct capture_record *r = next_record();
    record_is(r, CAPTURE_TUN_IN, DROP_NONE, as_read, s.len);
    CHECK_EQ(r->parts, 1);
    CHECK_BYTES(r->peer, b->tables->peers[0].address, sizeof r->peer);
    CHECK(r->time_ns > 1700000000u * (uint64_t)1000000000u);
    r = next_record();
    record_is(r, CAPTURE_UNDERLAY_OUT, DROP_send_failed, datagram.data, datagram.len);
    CHECK_BYTES(r->peer, b->tables->peers[0].address, sizeof r->peer);
    CHECK(next_record() == NULL);
    CHECK_EQ(stop(CAPTURE_TUN_IN), 0);
    bed_free(b);
}

static void each_segment_is_shown_whole(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct capture *c = start((struct capture_filter){0});
    struct sample s = SAMPLE(.proto = PROTO_TCP, .payload = 2500);
    struct packet p = super_packet(&s, 1000);
    tx(b, c, &p);
    struct bytes datagrams[3];
    CHECK_EQ(bed_datagrams(b), 3);
    for (size_t i = 0; i < 3; i++)
        datagrams[i] = bed_datagram(b, i);
    flush(b, c, DROP_NONE);
    read_ring();
    const struct capture_record *r = next_record();
    CHECK_EQ(r->step, CAPTURE_TUN_IN);
    CHECK_EQ(r->parts, 3);
    CHECK_EQ(r->mss, 1000);
    CHECK_EQ(r->flags, CAPTURE_PARTIAL);
    for (size_t i = 0; i < 3; i++)
        record_is(next_record(), CAPTURE_UNDERLAY_OUT, DROP_NONE, datagrams[i].data,
                  datagrams[i].len);
    CHECK(next_record() == NULL);
    stop(CAPTURE_TUN_IN);
    bed_free(b);
}

static void what_leaves_while_a_packet_is_looked_at_stands_behind_it(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    struct capture *c = start((struct capture_filter){0});
    struct sample first = SAMPLE(.payload = 10), second = SAMPLE(.payload = 20);
    struct packet p = plain_packet(&first), q = plain_packet(&second);
    tx(b, c, &p);
    capture_tun_in(c, &b->f, &q);
    flush(b, c, DROP_NONE); /* as sendq_reserve does when the queue is full */
    read_ring();
    CHECK_EQ(next_record()->step, CAPTURE_TUN_IN);
    CHECK(next_record() == NULL);
    forward_tx(&b->f, &q);
    capture_verdict(c, &b->f, DROP_NONE, false);
    read_ring();
    const struct capture_record *r = next_record();
    CHECK_EQ(r->step, CAPTURE_TUN_IN);
    CHECK_EQ(r->parts, 1);
    CHECK_EQ(r->length, second.len);
    CHECK_EQ(next_record()->step, CAPTURE_UNDERLAY_OUT);
    CHECK(next_record() == NULL);
    stop(CAPTURE_TUN_IN);
    bed_free(b);
}

static void a_drop_and_the_error_about_it_are_shown(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct capture *c = start((struct capture_filter){0});
    struct sample s = SAMPLE(.dst = "10.42.77.5");
    struct packet p = plain_packet(&s);
    tx(b, c, &p);
    read_ring();
    const struct capture_record *r = next_record();
    record_is(r, CAPTURE_TUN_IN, DROP_no_route, s.data, s.len);
    CHECK_EQ(r->parts, 0);
    r = next_record();
    record_is(r, CAPTURE_TUN_OUT, DROP_no_route, b->f.reply, b->f.reply_len);
    CHECK_EQ(r->flags, CAPTURE_REPLY);
    stop(CAPTURE_TUN_IN);
    bed_free(b);
}

static void what_is_received_is_shown_with_its_verdict(void)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct capture *c = start((struct capture_filter){0});
    struct sample s = SAMPLE(.src = "10.42.2.5", .dst = "10.42.1.5");
    struct bytes good = bed_frame(0, &s), bad = bed_frame(0, &s);
    bad.data[6] ^= 1; /* VNI */
    rx(b, c, 0, bad);
    rx(b, c, 0, (struct bytes){good.data, 0});
    rx(b, c, 0, good);
    struct iovec tail = {good.data, 7};
    capture_tun_out(c, &b->f, &b->out, &tail, 1, 2, DROP_tun_write);
    read_ring();
    record_is(next_record(), CAPTURE_UNDERLAY_IN, DROP_bad_vni, bad.data, bad.len);
    record_is(next_record(), CAPTURE_UNDERLAY_IN, DROP_runt, good.data, 0);
    const struct capture_record *r = next_record();
    record_is(r, CAPTURE_UNDERLAY_IN, DROP_NONE, good.data, good.len);
    CHECK_EQ(r->port, 4242);
    CHECK_EQ(r->tos, 0xb8);
    CHECK_BYTES(r->peer, b->tables->peers[0].address, sizeof r->peer);
    r = next_record();
    CHECK_EQ(r->step, CAPTURE_TUN_OUT);
    CHECK_EQ(r->reason, DROP_tun_write);
    CHECK_EQ(r->length, s.len + 7);
    CHECK_EQ(r->parts, 2);
    CHECK_BYTES((const uint8_t *)(r + 1) + s.len, good.data, 7);
    CHECK_BYTES(r->peer, b->tables->peers[0].address, sizeof r->peer);
    stop(CAPTURE_TUN_IN);
    bed_free(b);
}

/* How many records are made of: a packet to peer 0 and its datagram, one to peer 2 and its, one to nobody and its
 * error, one from peer 2. */
static unsigned records_with(struct capture_filter filter)
{
    struct bed *b = bed_new(FORMAT_VXLAN);
    struct capture *c = start(filter);
    struct sample samples[] = {SAMPLE(.dst = "10.42.2.5"), SAMPLE(.dst = "10.42.3.5"),
                               SAMPLE(.dst = "10.42.77.5")};
    for (size_t i = 0; i < 3; i++) {
        struct packet p = plain_packet(&samples[i]);
        tx(b, c, &p);
    }
    flush(b, c, DROP_NONE);
    struct sample received = SAMPLE(.src = "10.42.3.5", .dst = "10.42.1.9");
    rx(b, c, 2, bed_frame(2, &received));
    capture_tun_out(c, &b->f, &b->out, NULL, 0, 1, DROP_NONE);
    read_ring();
    unsigned n = 0;
    while (next_record() != NULL)
        n++;
    CHECK_EQ(stop(CAPTURE_TUN_IN), 0);
    bed_free(b);
    return n;
}

static void the_filter_lets_through_what_it_names(void)
{
    struct capture_filter peer = {.family = 0}, nobody, prefix = {.family = 4, .length = 24};
    parse_address("::ffff:192.0.2.3", peer.peer);
    CHECK_EQ(records_with((struct capture_filter){0}), 8);
    CHECK_EQ(records_with((struct capture_filter){.directions = 1 << DIRECTION_TX}), 6);
    CHECK_EQ(records_with((struct capture_filter){.directions = 1 << DIRECTION_RX}), 2);
    CHECK_EQ(records_with((struct capture_filter){.reason = DROP_no_route}), 2);
    CHECK_EQ(records_with((struct capture_filter){.reason = DROP_ttl}), 0);
    CHECK_EQ(records_with(peer), 4);
    nobody = peer;
    nobody.peer[15] = 99;
    CHECK_EQ(records_with(nobody), 0);
    parse_address("10.42.3.0", prefix.prefix);
    CHECK_EQ(records_with(prefix), 4);
    prefix.length = 9;
    CHECK_EQ(records_with(prefix), 8);
    prefix.length = 32;
    CHECK_EQ(records_with(prefix), 0);
    parse_address("10.42.1.9", prefix.prefix);
    CHECK_EQ(records_with(prefix), 2);
    CHECK_EQ(records_with((struct capture_filter){.family = 6}), 0);
    CHECK_EQ(records_with((struct capture_filter){.family = 4}), 8);
}

static void packets_without_addresses_are_shown_unless_an_address_is_asked_for(void)
{
    const uint8_t odd[] = {0x45, 0, 0, 0, 0};
    for (size_t len = 0; len <= sizeof odd; len++) {
        struct bed *b = bed_new(FORMAT_UDP);
        struct packet p = {.data = owned_copy(odd, len), .len = len};
        struct capture *c = start((struct capture_filter){0});
        tx(b, c, &p);
        rx(b, c, 0, (struct bytes){p.data, len});
        read_ring();
        CHECK_EQ(next_record()->reason, DROP_runt);
        CHECK_EQ(next_record()->reason, DROP_runt);
        stop(CAPTURE_TUN_IN);
        c = start((struct capture_filter){.family = 4});
        tx(b, c, &p);
        rx(b, c, 0, (struct bytes){p.data, len});
        read_ring();
        CHECK(next_record() == NULL);
        stop(CAPTURE_TUN_IN);
        bed_free(b);
    }
}

static void snaplen_cuts_and_tells_the_length(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    struct capture *c = start((struct capture_filter){.snaplen = 33});
    struct sample s = SAMPLE(.payload = 500);
    struct packet p = plain_packet(&s);
    tx(b, c, &p);
    read_ring();
    const struct capture_record *r = next_record();
    CHECK_EQ(r->captured, 33);
    CHECK_EQ(r->length, s.len);
    CHECK_EQ(r->size, 128);
    stop(CAPTURE_TUN_IN);
    bed_free(b);
}

static void one_capture_at_a_time(void)
{
    struct capture_filter filter = {.directions = ALL};
    start(filter);
    CHECK_EQ(capture_start(&captures, &rcu, &filter), EBUSY);
    stop(CAPTURE_TUN_IN);
    CHECK_EQ(stop(CAPTURE_TUN_IN), 0);
    CHECK_EQ(capture_read(&captures, &rcu, NULL), 0);
    /* A worker that is inside a section may still have the old one. */
    start(filter);
    rcu_enter(&rcu, 0);
    stop(CAPTURE_TUN_IN);
    CHECK_EQ(capture_start(&captures, &rcu, &filter), EBUSY);
    rcu_leave(&rcu, 0);
    start(filter);
    capture_destroy(&captures);
}

/* One packet whose bytes follow from its number. */
static struct packet numbered(uint8_t *bytes, uint32_t n)
{
    size_t len = 4 + n * 7919u % 60000;
    memset(bytes, (int)n, len);
    memcpy(bytes, &n, sizeof n);
    return (struct packet){.data = bytes, .len = len};
}

static bool is_numbered(const struct capture_record *r, uint32_t *n)
{
    static uint8_t bytes[65536];
    memcpy(n, r + 1, sizeof *n);
    struct packet p = numbered(bytes, *n);
    return r->length == p.len && memcmp(r + 1, bytes, p.len) == 0;
}

static void a_full_ring_loses_and_counts_and_goes_on(void)
{
    static uint8_t bytes[65536];
    struct bed *b = bed_new(FORMAT_UDP);
    struct capture *c = start((struct capture_filter){0});
    uint32_t written = 0, seen = 0, expected = 0, n;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 400; i++) {
            struct packet p = numbered(bytes, written++);
            capture_tun_out(c, &b->f, &p, NULL, 0, 1, DROP_NONE);
        }
        read_ring();
        for (const struct capture_record *r; (r = next_record()) != NULL; expected = n + 1) {
            CHECK(is_numbered(r, &n));
            CHECK(n >= expected);
            seen++;
        }
    }
    CHECK(seen > 20 * 200 && seen < written);
    CHECK_EQ(stop(CAPTURE_TUN_OUT), written - seen);
    bed_free(b);
}

static void a_lost_packet_counts_when_its_reason_is_asked_for(void)
{
    for (enum drop asked = DROP_NONE; asked <= DROP_no_route; asked++) {
        struct bed *b = bed_new(FORMAT_UDP);
        struct capture *c = start((struct capture_filter){.reason = (uint8_t)asked});
        c->head = CAPTURE_RING; /* full */
        c->written = CAPTURE_RING;
        struct sample s = SAMPLE(.dst = "10.42.77.5");
        struct packet p = plain_packet(&s);
        tx(b, c, &p);
        CHECK_EQ(stop(CAPTURE_TUN_IN), asked == DROP_NONE || asked == DROP_no_route);
        bed_free(b);
    }
}

struct writer {
    struct bed *bed;
    _Atomic bool end;
    _Atomic uint64_t written;
};

static void *write_until_told(void *argument)
{
    static uint8_t bytes[65536];
    struct writer *w = argument;
    for (uint32_t n = 0; !w->end; n++) {
        rcu_enter(&rcu, 0);
        struct capture *c = capture_enter(&captures, 0);
        struct packet p = numbered(bytes, n);
        if (c != NULL) {
            capture_tun_out(c, &w->bed->f, &p, NULL, 0, 1, DROP_NONE);
            w->written++;
        }
        rcu_leave(&rcu, 0);
    }
    return NULL;
}

static void captures_come_and_go_while_a_worker_writes(void)
{
    struct writer w = {.bed = bed_new(FORMAT_UDP)};
    struct capture_filter filter = {.directions = ALL, .snaplen = 65536};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, write_until_told, &w), 0);
    uint8_t *buffer = owned(CAPTURE_RING);
    for (int i = 0; i < 20; i++) {
        uint64_t lost[CAPTURE_STEPS];
        while (capture_start(&captures, &rcu, &filter) != 0)
            sched_yield();
        for (uint64_t begin = w.written; w.written < begin + 300;) {
            uint32_t n;
            unread = buffer;
            unread_len = capture_read(&captures, &rcu, buffer);
            for (const struct capture_record *r; (r = next_record()) != NULL;)
                CHECK(is_numbered(r, &n));
        }
        capture_stop(&captures, &rcu, lost);
    }
    w.end = true;
    pthread_join(thread, NULL);
    capture_destroy(&captures);
    bed_free(w.bed);
}

const struct test capture_tests[] = {
    {"a packet is shown as it came and as it went", a_packet_is_shown_as_it_came_and_as_it_went},
    {"each segment is shown whole", each_segment_is_shown_whole},
    {"what leaves while a packet is looked at stands behind it",
     what_leaves_while_a_packet_is_looked_at_stands_behind_it},
    {"a drop and the error about it are shown", a_drop_and_the_error_about_it_are_shown},
    {"what is received is shown with its verdict", what_is_received_is_shown_with_its_verdict},
    {"the filter lets through what it names", the_filter_lets_through_what_it_names},
    {"packets without addresses are shown unless an address is asked for",
     packets_without_addresses_are_shown_unless_an_address_is_asked_for},
    {"snaplen cuts, and tells the length", snaplen_cuts_and_tells_the_length},
    {"one capture at a time", one_capture_at_a_time},
    {"a full ring loses, counts and goes on", a_full_ring_loses_and_counts_and_goes_on},
    {"a lost packet counts when its reason is asked for",
     a_lost_packet_counts_when_its_reason_is_asked_for},
    {"captures come and go while a worker writes", captures_come_and_go_while_a_worker_writes},
    {NULL, NULL},
};
