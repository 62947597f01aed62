/* From the underlay to the TUN. */
#include "worker_state.h"

#include <errno.h>
#include <string.h>

#include "../core/gso.h"

enum { RECEIVE_BATCHES = 4 }; /* in one turn, at most */

int worker_write_tun(struct worker *w, const struct packet *p, const struct iovec *tail, size_t n)
{
    if (w->writes_done > 0) {
        w->writes_done--;
        return 0;
    }
    int error = tun_write(&w->engine->tun, p, tail, n);
    w->journal->written += error == 0;
    return error;
}

/* For a super-packet that the TUN does not take whole. */
static int write_segments(struct worker *w, const struct packet *p)
{
    uint8_t headers[GSO_HEADER_MAX];
    struct gso_segments gso;
    uint8_t *payload;
    size_t payload_len;
    if (gso_begin(&gso, p, &p->ip) != DROP_NONE)
        return EINVAL;
    int error = 0;
    while (error == 0 && gso_next(&gso, headers, &payload, &payload_len)) {
        struct packet head = {.data = headers, .len = gso.header_len};
        struct iovec tail = {payload, payload_len};
        error = worker_write_tun(w, &head, &tail, 1);
    }
    return error;
}

void worker_write_packet(void *worker, const struct packet *p, const struct iovec *payloads,
                         unsigned n)
{
    struct worker *w = worker;
    unsigned segments = n == 0 ? 1 : n;
    bool whole = p->gso != GSO_UDP || w->engine->tun.uso;
    int error = whole ? worker_write_tun(w, p, payloads, n) : write_segments(w, p);
    /* Some kernels refuse a super-packet whose last segment is short. */
    if (whole && error == EINVAL && p->gso != GSO_NONE) {
        if (n == 0) {
            error = write_segments(w, p);
        } else {
            w->coalesce = false;
            worker_report(
                w, &(struct event){.kind = EVENT_OFFLOAD_OFF, .error = error, .detail = "gro"});
        }
    }
    if (error == 0)
        count(&w->counters, COUNTER_RX_FORWARDED, segments);
    else
        count_drops(&w->counters, DIRECTION_RX, DROP_tun_write, segments);
    if (w->capture != NULL)
        capture_tun_out(w->capture, &w->forward, p, payloads, n, segments,
                        error == 0 ? DROP_NONE : DROP_tun_write);
}

static void deliver(struct worker *w, const struct packet *p)
{
    if (w->coalesce)
        gro_receive(&w->gro, p);
    else
        worker_write_packet(w, p, NULL, 0);
}

/* Tells of the first packet of a peer that is dropped for a reason, and of strangers, who may be many. */
static void report_drop(struct worker *w, const struct peer *peer, const uint8_t source[16],
                        enum drop reason)
{
    struct event event = {.kind = EVENT_PEER_DROP, .detail = drop_name(reason)};
    if (peer != NULL) {
        uint64_t bit = 1ull << reason;
        if (!(atomic_load_explicit(&peer->state->reported, memory_order_relaxed) & bit) &&
            worker_report_about(w, source, event))
            atomic_fetch_or_explicit(&peer->state->reported, bit, memory_order_relaxed);
        return;
    }
    /* Slots are shared by the last byte of the address; an address that lost its slot may be told of again. */
    uint8_t *told = w->strangers[source[15] % PEER_EVENT_SLOTS];
    if (memcmp(told, source, sizeof event.address) != 0 &&
        bucket_take(&w->stranger_events, 10, 1, w->forward.now_ms * 1000 / PEER_EVENT_MS) &&
        worker_report_about(w, source, event))
        memcpy(told, source, sizeof event.address);
}

static void receive_message(struct worker *w, const struct received *m)
{
    const struct tables *tables = w->forward.tables;
    const struct peer *peer = tables == NULL ? NULL : tables_peer(tables, m->source);
    struct datagram d = {.data = m->data, .len = m->len, .gro_size = m->gro_size, .tos = m->tos};
    if (m->truncated) {
        count(&w->counters, COUNTER_RX_IN, 1);
        count_drops(&w->counters, DIRECTION_RX, DROP_oversize, 1);
        if (w->capture != NULL) {
            capture_underlay_in(w->capture, &w->forward, m, &d);
            capture_verdict(w->capture, &w->forward, DROP_oversize, false);
        }
        return;
    }
    size_t left = m->len;
    do {
        struct packet p;
        d.len = left;
        /* A stranger's bytes are not looked at, not even to see where one datagram ends. */
        if (peer != NULL)
            d.len = forward_rx_split(&w->forward, &d);
        else if (m->gro_size != 0 && m->gro_size < left)
            d.len = m->gro_size;
        if (w->capture != NULL)
            capture_underlay_in(w->capture, &w->forward, m, &d);
        enum drop reason = forward_rx(&w->forward, peer, &d, &p);
        if (w->capture != NULL)
            capture_verdict(w->capture, &w->forward, reason, p.data == NULL);
        if (reason != DROP_NONE && tables != NULL)
            report_drop(w, peer, m->source, reason);
        else if (p.data != NULL)
            deliver(w, &p);
        d.data += d.len;
        left -= d.len;
    } while (left > 0);
}

/* Delivers the first n messages; the batch is then done with. Returns how many bytes they have. */
static size_t deliver_batch(struct worker *w, int n)
{
    struct receiver *r = &w->journal->receiver;
    size_t bytes = 0;
    for (int i = 0; i < n; i++) {
        bytes += r->messages[i].len;
        w->messages++;
        receive_message(w, &r->messages[i]);
    }
    gro_flush(&w->gro);
    atomic_store_explicit(&r->asked, 0, memory_order_release);
    return bytes;
}

void worker_receive(struct worker *w, unsigned which)
{
    const struct underlay *u = &w->engine->underlays[which];
    struct receiver *r = &w->journal->receiver;
    size_t bytes = 0;
    bool more = true;
    for (int i = 0; i < RECEIVE_BATCHES && more && bytes < TURN_BYTES; i++) {
        r->overflows = w->overflows[which];
        w->journal->batch_begins = w->journal->written;
        int n = underlay_receive(u, r, &more);
        /* An error here is one about an earlier send that was reported early. */
        if (n < 0)
            worker_drain_errors(w, u);
        bytes += deliver_batch(w, n);
        count(&w->counters, COUNTER_RX_QUEUE_LOST, r->overflows - w->overflows[which]);
        w->overflows[which] = r->overflows;
    }
    sendq_flush(&w->queue); /* answers to peers */
}

void worker_receive_left(struct worker *w, uint64_t writes_done)
{
    struct receiver *r = &w->journal->receiver;
    r->buffers = w->journal->receive_buffers;
    w->writes_done = writes_done;
    int n = underlay_received(r);
    deliver_batch(w, n);
    w->writes_done = 0;
    count(&w->counters, COUNTER_RX_TAKEN_UP, (uint64_t)n);
    sendq_flush(&w->queue);
}
