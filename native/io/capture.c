/* The control side's start, read and stop; then filter and ring; then what a worker records, step by step. */
#include "capture.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "../core/gro.h"
#include "../core/vxlan.h"

/* --- control side --------------------------------------------------------------------------------------------- */

static void free_stopped(struct captures *s, const struct rcu *rcu)
{
    if (s->stopped == NULL || !rcu_passed(rcu, &s->stop))
        return;
    free(s->stopped);
    s->stopped = NULL;
}

int capture_start(struct captures *s, const struct rcu *rcu, const struct capture_filter *filter)
{
    free_stopped(s, rcu);
    /* The one before may be in a worker's hands for the rest of its round: milliseconds. */
    if (atomic_load(&s->current) != NULL || s->stopped != NULL)
        return EBUSY;
    size_t size = rcu->workers * sizeof(struct capture);
    struct capture *c = aligned_alloc(64, size);
    if (c == NULL)
        return ENOMEM;
    /* Written to here, so that no worker meets a page fault. */
    memset(c, 0, size);
    for (unsigned i = 0; i < rcu->workers; i++)
        c[i].filter = *filter;
    atomic_store(&s->current, c);
    return 0;
}

static size_t take(struct capture *c, uint8_t *into)
{
    uint64_t taken = atomic_load_explicit(&c->taken, memory_order_relaxed);
    size_t len = (size_t)(atomic_load_explicit(&c->written, memory_order_acquire) - taken);
    size_t at = taken % CAPTURE_RING;
    size_t first = len < CAPTURE_RING - at ? len : CAPTURE_RING - at;
    memcpy(into, c->ring + at, first);
    memcpy(into + first, c->ring, len - first);
    atomic_store_explicit(&c->taken, taken + len, memory_order_release);
    return len;
}

size_t capture_read(struct captures *s, const struct rcu *rcu, uint8_t *into)
{
    struct capture *c = atomic_load(&s->current);
    size_t len = 0;
    for (unsigned i = 0; c != NULL && len == 0 && i < rcu->workers; i++)
        len = take(&c[i], into);
    return len;
}

void capture_stop(struct captures *s, const struct rcu *rcu, uint64_t lost[CAPTURE_STEPS])
{
    memset(lost, 0, CAPTURE_STEPS * sizeof *lost);
    struct capture *c = atomic_exchange(&s->current, NULL);
    if (c != NULL) {
        s->stopped = c;
        rcu_now(rcu, &s->stop);
        for (unsigned i = 0; i < rcu->workers; i++)
            for (size_t step = 0; step < CAPTURE_STEPS; step++)
                lost[step] += atomic_load_explicit(&c[i].lost[step], memory_order_relaxed);
    }
    free_stopped(s, rcu);
}

void capture_destroy(struct captures *s)
{
    free(atomic_exchange(&s->current, NULL));
    free(s->stopped);
    s->stopped = NULL;
}

/* --- the filter ----------------------------------------------------------------------------------------------- */

/* The addresses of a packet that nobody has checked; family 0 when it has none. */
struct ends {
    int family;
    const uint8_t *src, *dst;
};

static struct ends read_ends(const uint8_t *data, size_t len)
{
    int version = len == 0 ? 0 : data[0] >> 4;
    if (version == 4 && len >= IPV4_HEADER)
        return (struct ends){4, data + 12, data + 16};
    if (version == 6 && len >= IPV6_HEADER)
        return (struct ends){6, data + 8, data + 24};
    return (struct ends){0};
}

/* The packet inside a datagram. */
static struct ends read_inner_ends(const struct forward *f, const uint8_t *data, size_t len)
{
    size_t overhead = f->format == FORMAT_VXLAN ? VXLAN_OVERHEAD : 0;
    return len < overhead ? (struct ends){0} : read_ends(data + overhead, len - overhead);
}

/* The underlay address of the peer that has an overlay or underlay address; null: none has. */
static const uint8_t *owner(const struct forward *f, int family, const uint8_t *address)
{
    if (f->tables == NULL || family == 0)
        return NULL;
    uint32_t peer = fib_lookup(f->tables->fib, family, address);
    if (peer < f->tables->peer_count)
        return f->tables->peers[peer].address;
    const struct peer *host = tables_peer_at(f->tables, family, address);
    return host == NULL ? NULL : host->address;
}

static bool in_prefix(const struct capture_filter *filter, const uint8_t *address)
{
    size_t whole = filter->length / 8, bits = filter->length % 8;
    return memcmp(address, filter->prefix, whole) == 0 &&
           (bits == 0 || (address[whole] ^ filter->prefix[whole]) >> (8 - bits) == 0);
}

/* All of the filter but the reason. */
static bool wants(const struct capture *c, enum direction direction, const uint8_t *peer,
                  struct ends ends)
{
    static const uint8_t any[16];
    const struct capture_filter *filter = &c->filter;
    if ((filter->directions & (1u << direction)) == 0)
        return false;
    if (memcmp(filter->peer, any, sizeof any) != 0 &&
        (peer == NULL || memcmp(filter->peer, peer, sizeof any) != 0))
        return false;
    return filter->family == 0 || (ends.family == filter->family &&
                                   (in_prefix(filter, ends.src) || in_prefix(filter, ends.dst)));
}

static bool wants_reason(const struct capture *c, enum drop reason)
{
    return c->filter.reason == DROP_NONE || c->filter.reason == reason;
}

/* --- the ring ------------------------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void copy(struct capture *c, uint64_t to, const struct iovec *pieces, size_t len)
{
    for (; len > 0; pieces++) {
        size_t n = pieces->iov_len < len ? pieces->iov_len : len;
        size_t at = to % CAPTURE_RING;
        size_t first = n < CAPTURE_RING - at ? n : CAPTURE_RING - at;
        const uint8_t *bytes = pieces->iov_base;
        memcpy(c->ring + at, bytes, first);
        memcpy(c->ring, bytes + first, n - first);
        to += n;
        len -= n;
    }
}

/* Appends a record, not published yet. Null: it does not fit. */
static struct capture_record *append(struct capture *c, enum capture_step step, const uint8_t *peer,
                                     const struct iovec *pieces, size_t n)
{
    size_t length = 0;
    for (size_t i = 0; i < n; i++)
        length += pieces[i].iov_len;
    size_t captured = length < c->filter.snaplen ? length : c->filter.snaplen;
    size_t unit = sizeof(struct capture_record);
    size_t size = (unit + captured + unit - 1) / unit * unit;
    if (c->head + size - atomic_load_explicit(&c->taken, memory_order_acquire) > CAPTURE_RING)
        return NULL;
    struct capture_record *r = (struct capture_record *)(c->ring + c->head % CAPTURE_RING);
    *r = (struct capture_record){
        .size = (uint32_t)size,
        .step = (uint8_t)step,
        .time_ns = now_ns(),
        .captured = (uint32_t)captured,
        .length = (uint32_t)length,
    };
    if (peer != NULL)
        memcpy(r->peer, peer, sizeof r->peer);
    copy(c, c->head + unit, pieces, captured);
    c->head += size;
    return r;
}

static void lose(struct capture *c, enum capture_step step)
{
    counter_bump(&c->lost[step], 1);
}

/* Everything up to a packet that waits for its verdict can be read. */
static void publish(struct capture *c)
{
    if (c->open.record == NULL)
        atomic_store_explicit(&c->written, c->head, memory_order_release);
}

/* --- what comes in -------------------------------------------------------------------------------------------- */

static uint64_t datagrams(const struct capture *c, const struct sendq *q)
{
    uint64_t sum = c->sent;
    for (size_t i = 0; i < q->run_count; i++)
        sum += q->runs[i].datagrams;
    return sum;
}

static void open_record(struct capture *c, enum capture_step step, const uint8_t *peer,
                        const uint8_t *data, size_t len)
{
    struct iovec piece = {(void *)data, len};
    c->open.step = step;
    c->open.at = c->head;
    c->open.record = append(c, step, peer, &piece, 1);
}

void capture_tun_in(struct capture *c, const struct forward *f, const struct packet *p)
{
    struct ends ends = read_ends(p->data, p->len);
    const uint8_t *peer = owner(f, ends.family, ends.dst);
    c->open.wanted = wants(c, DIRECTION_TX, peer, ends);
    if (!c->open.wanted)
        return;
    open_record(c, CAPTURE_TUN_IN, peer, p->data, p->len);
    c->open.datagrams = datagrams(c, f->queue);
    if (c->open.record == NULL)
        return;
    c->open.record->mss = p->gso == GSO_NONE ? 0 : p->mss;
    c->open.record->flags = p->partial ? CAPTURE_PARTIAL : 0;
}

void capture_underlay_in(struct capture *c, const struct forward *f, const struct received *m,
                         const struct datagram *d)
{
    c->open.wanted = wants(c, DIRECTION_RX, m->source, read_inner_ends(f, d->data, d->len));
    if (!c->open.wanted)
        return;
    open_record(c, CAPTURE_UNDERLAY_IN, m->source, d->data, d->len);
    if (c->open.record == NULL)
        return;
    c->open.record->port = m->port;
    c->open.record->tos = m->tos;
}

void capture_verdict(struct capture *c, const struct forward *f, enum drop reason, bool consumed)
{
    struct capture_record *r = c->open.record;
    if (!c->open.wanted)
        return;
    if (r != NULL) {
        r->reason = (uint8_t)reason;
        r->flags |= consumed ? CAPTURE_CONSUMED : 0;
        if (c->open.step == CAPTURE_TUN_IN)
            r->parts = (uint32_t)(datagrams(c, f->queue) - c->open.datagrams);
        if (!wants_reason(c, reason))
            r->step = CAPTURE_SKIP;
        if (r->step == CAPTURE_SKIP && c->head == c->open.at + r->size)
            c->head = c->open.at;
    } else if (wants_reason(c, reason)) {
        lose(c, c->open.step);
    }
    c->open.wanted = false;
    c->open.record = NULL;
    publish(c);
}

/* --- what goes out -------------------------------------------------------------------------------------------- */

void capture_run(struct capture *c, const struct forward *f, const struct run *run, uint16_t port,
                 enum drop reason)
{
    const uint8_t *peer = f->tables->peers[run->way.peer].address;
    const struct iovec *at = &f->queue->pieces[run->first_piece], *end = at + run->pieces;
    c->sent += run->datagrams;
    while (at < end) {
        size_t n = sendq_datagram(run, at, end);
        struct ends ends = read_inner_ends(f, at->iov_base, at->iov_len);
        if (wants_reason(c, reason) && wants(c, DIRECTION_TX, peer, ends)) {
            struct capture_record *r = append(c, CAPTURE_UNDERLAY_OUT, peer, at, n);
            if (r == NULL) {
                lose(c, CAPTURE_UNDERLAY_OUT);
            } else {
                r->reason = (uint8_t)reason;
                r->tos = run->way.tos;
                r->port = port;
            }
        }
        at += n;
    }
    publish(c);
}

void capture_tun_out(struct capture *c, const struct forward *f, const struct packet *p,
                     const struct iovec *tail, size_t n, unsigned segments, enum drop reason)
{
    struct iovec pieces[1 + GRO_SEGMENTS] = {{p->data, p->len}};
    struct ends ends = read_ends(p->data, p->len);
    const uint8_t *peer = owner(f, ends.family, ends.src);
    if (!wants_reason(c, reason) || !wants(c, DIRECTION_RX, peer, ends))
        return;
    if (n > 0)
        memcpy(pieces + 1, tail, n * sizeof *tail);
    struct capture_record *r = append(c, CAPTURE_TUN_OUT, peer, pieces, 1 + n);
    if (r == NULL) {
        lose(c, CAPTURE_TUN_OUT);
    } else {
        r->reason = (uint8_t)reason;
        r->parts = segments;
        r->mss = p->gso == GSO_NONE ? 0 : p->mss;
        r->flags = p->partial ? CAPTURE_PARTIAL : 0;
    }
    publish(c);
}

void capture_reply(struct capture *c, const struct forward *f, enum drop reason)
{
    /* It goes where its subject came from, and is wanted when that is. */
    struct iovec piece = {(void *)f->reply, f->reply_len};
    size_t header = (f->reply[0] >> 4 == 4 ? IPV4_HEADER : IPV6_HEADER) + (size_t)ICMP_HEADER;
    struct ends ends = read_ends(f->reply + header, f->reply_len - header);
    const uint8_t *peer = owner(f, ends.family, ends.dst);
    if (!wants_reason(c, reason) || !wants(c, DIRECTION_TX, peer, ends))
        return;
    struct capture_record *r = append(c, CAPTURE_TUN_OUT, peer, &piece, 1);
    if (r == NULL) {
        lose(c, CAPTURE_TUN_OUT);
    } else {
        r->reason = (uint8_t)reason;
        r->flags = CAPTURE_REPLY;
    }
    publish(c);
}
