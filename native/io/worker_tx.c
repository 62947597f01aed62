/* From the TUN to the underlay, and what becomes of sends that fail. */
#include "worker_state.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    /* What one turn may read ahead. */
    READ_PACKETS = 128,
    READ_BYTES = 1 << 20,
    ERROR_QUEUE_BUDGET = 64,
};

static struct underlay *underlay_of(struct worker *w, const struct run *run)
{
    bool ipv4 = underlay_family(&w->forward.tables->peers[run->way.peer]) == AF_INET;
    return &w->engine->underlays[ipv4 ? 0 : 1];
}

/* Whether one system call can send both. */
static bool leave_together(struct worker *w, const struct run *a, const struct run *b)
{
    const struct underlay *u = underlay_of(w, a);
    return underlay_of(w, b) == u && underlay_sender(u, a) == underlay_sender(u, b);
}

static void count_sent(struct worker *w, const struct run *run)
{
    struct peer_stats *stats = &w->forward.tables->peers[run->way.peer].state->stats[w->index];
    count(&w->counters, COUNTER_TX_FORWARDED, run->packets);
    count(&w->counters, COUNTER_TX_DATAGRAMS, run->datagrams);
    count(&w->counters, COUNTER_TX_BYTES, run->bytes);
    counter_bump(&stats->tx_packets, run->datagrams);
    counter_bump(&stats->tx_bytes, run->bytes);
    if (w->capture != NULL)
        capture_run(w->capture, &w->forward, run, underlay_source_port(underlay_of(w, run), run),
                    DROP_NONE);
}

static enum drop send_error_reason(int error)
{
    switch (error) {
    case EMSGSIZE:
        return DROP_too_big;
    case EAGAIN:
    case ENOBUFS:
        return DROP_send_queue_full;
    default:
        return DROP_send_failed;
    }
}

static void report_peer(struct worker *w, const uint8_t address[16], int error)
{
    /* Peers share slots by the last byte of their address: this is about log lines, not about counting. */
    uint64_t *last = &w->peer_events_ms[address[15] % PEER_EVENT_SLOTS];
    if (*last != 0 && w->forward.now_ms - *last < PEER_EVENT_MS)
        return;
    *last = w->forward.now_ms;
    worker_report_about(w, address, (struct event){.kind = EVENT_PEER_ERROR, .error = error});
}

static void count_peer_error(struct worker *w, const struct send_error *e)
{
    const struct tables *tables = w->forward.tables;
    const struct peer *peer = tables == NULL ? NULL : tables_peer(tables, e->peer);
    count(&w->counters, COUNTER_TX_ERRORS, 1);
    if (peer == NULL)
        return;
    counter_bump(&peer->state->stats[w->index].errors, 1);
    if (e->error != EMSGSIZE) {
        report_peer(w, e->peer, e->error);
    } else if (path_learn(&peer->state->path, ip_is_mapped(e->peer) ? 4 : 6, e->mtu, e->local,
                          w->forward.now_ms)) {
        uint32_t mtu = path_mtu(&peer->state->path, w->forward.now_ms);
        worker_report_about(w, e->peer, (struct event){.kind = EVENT_PATH_MTU, .value = mtu});
    }
}

/* The ICMP error about a packet that was dropped for `reason`, if there is one. */
static void write_reply(struct worker *w, enum drop reason)
{
    if (w->forward.reply_len == 0)
        return;
    worker_write_tun(w, &(struct packet){.data = w->forward.reply, .len = w->forward.reply_len},
                     NULL, 0);
    if (w->capture != NULL)
        capture_reply(w->capture, &w->forward, reason);
    w->forward.reply_len = 0;
}

static void count_lost(struct worker *w, const struct run *run, int error)
{
    count_drops(&w->counters, DIRECTION_TX, send_error_reason(error), run->packets);
    count(&w->counters, COUNTER_TX_DATAGRAMS_LOST, run->continued);
    if (w->capture != NULL)
        capture_run(w->capture, &w->forward, run, underlay_source_port(underlay_of(w, run), run),
                    send_error_reason(error));
    if (send_error_reason(error) == DROP_send_failed) {
        struct send_error e = {.error = error, .local = true};
        memcpy(e.peer, w->forward.tables->peers[run->way.peer].address, sizeof e.peer);
        count_peer_error(w, &e);
    } else if (error == EMSGSIZE) {
        forward_too_big(&w->forward, run->way.peer, &w->queue.pieces[run->first_piece],
                        run->pieces);
        write_reply(w, DROP_too_big);
    }
}

void worker_drain_errors(struct worker *w, const struct underlay *u)
{
    struct send_error error;
    for (int i = 0; i < ERROR_QUEUE_BUDGET && underlay_next_error(u, &error); i++)
        count_peer_error(w, &error);
}

/*
 * The kernel refused a run that may be fine: either segmentation offload is broken on the way out, or the packets
 * themselves do not go. Sent singly they tell which. A run of packets that are too large for the path is EMSGSIZE, or
 * EINVAL before Linux 6.14; the kernel says how much is possible only about single ones.
 */
static void send_without_gso(struct worker *w, const struct underlay *u, const struct run *run,
                             int error)
{
    int single_error = underlay_send_singly(u, w->forward.tables, &w->queue, run);
    worker_drain_errors(w, u);
    if (single_error != 0) {
        count_lost(w, run, single_error);
        return;
    }
    count_sent(w, run);
    if (error == EMSGSIZE)
        return;
    w->queue.max_datagrams = 1;
    worker_report(w, &(struct event){.kind = EVENT_OFFLOAD_OFF, .error = error, .detail = "gso"});
}

/* A run that sendmmsg stopped at. Returns true when it is worth trying again as it is. */
static bool handle_send_error(struct worker *w, const struct underlay *u, const struct run *run,
                              int error, bool retried)
{
    if (error == EINTR)
        return true;
    if ((error == EIO || error == EINVAL || error == EMSGSIZE) && run->datagrams > 1) {
        send_without_gso(w, u, run, error);
        return false;
    }
    /* With IP_RECVERR the error may be about an earlier send to another peer: take it off the queue and retry. */
    worker_drain_errors(w, u);
    if (!retried && send_error_reason(error) == DROP_send_failed)
        return true;
    count_lost(w, run, error);
    return false;
}

void worker_send_runs(void *worker)
{
    struct worker *w = worker;
    struct sendq *q = &w->queue;
    struct sent *sent = &w->journal->sent;
    bool retried = false;
    size_t i = 0;
    for (; w->runs_done > 0 && i < q->run_count; w->runs_done--)
        count_sent(w, &q->runs[i++]);
    while (i < q->run_count) {
        const struct underlay *u = underlay_of(w, &q->runs[i]);
        size_t n = 1;
        w->unheard |= u->sender_count > 0;
        while (i + n < q->run_count && n < UNDERLAY_BATCH &&
               leave_together(w, &q->runs[i], &q->runs[i + n]))
            n++;
        int error;
        size_t now = underlay_send(u, w->forward.tables, q, &q->runs[i], n, sent, &error);
        for (size_t j = 0; j < now; j++)
            count_sent(w, &q->runs[i + j]);
        i += now;
        if (now > 0) {
            retried = false;
        } else {
            retried = handle_send_error(w, u, &q->runs[i], error, retried);
            if (!retried) {
                underlay_note_sent(sent, underlay_sent(sent) + 1);
                i++;
            }
        }
    }
}

static void fail_tun(struct worker *w, int error)
{
    epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, w->engine->tun.fd, NULL);
    worker_report(w, &(struct event){.kind = EVENT_TUN_GONE, .error = error});
}

/* Where the next packet is read to; should that be the last thing this thread does, read_last tells whether one came. */
static bool find_room(struct journal *j)
{
    uint8_t *room = fairq_room(&j->waiting, TUN_PACKET_MAX);
    if (room == NULL)
        return false;
    room[0] = 0;
    j->room.data = room;
    atomic_store_explicit(&j->reading, j->waiting.newest, memory_order_release);
    return true;
}

/* Reads what the TUN has, as far as there is room. */
static void read_tun(struct worker *w)
{
    struct journal *j = w->journal;
    size_t bytes = 0;
    for (int i = 0; i < READ_PACKETS && bytes < READ_BYTES; i++) {
        struct packet p;
        if (!find_room(j))
            return;
        int error = tun_read(&w->engine->tun, &j->room, &p);
        if (error != 0) {
            if (error != EAGAIN && error != EINTR)
                fail_tun(w, error);
            return;
        }
        fairq_put(&j->waiting, &p);
        bytes += p.len;
    }
}

static void transmit_packet(struct worker *w, struct packet *p)
{
    if (w->capture != NULL)
        capture_tun_in(w->capture, &w->forward, p);
    enum drop reason = forward_tx(&w->forward, p);
    if (w->capture != NULL)
        capture_verdict(w->capture, &w->forward, reason, false);
    write_reply(w, reason);
}

/* Forwards what waits, up to `limit` bytes. */
static void forward_waiting(struct worker *w, size_t limit)
{
    struct fairq *waiting = &w->journal->waiting;
    const struct packet *next;
    underlay_note_sent(&w->journal->sent, 0);
    for (size_t bytes = 0; bytes < limit && (next = fairq_take(waiting)) != NULL;
         bytes += next->len) {
        struct packet p = *next;
        transmit_packet(w, &p);
    }
    sendq_flush(&w->queue);
    fairq_release(waiting);
}

void worker_transmit(struct worker *w)
{
    read_tun(w);
    forward_waiting(w, TURN_BYTES);
}

void worker_transmit_rest(struct worker *w)
{
    forward_waiting(w, SIZE_MAX);
}

/* The packet that was read and not put into the queue yet. */
static bool read_last(const struct journal *j, uint8_t *memory, struct packet *p)
{
    size_t at = (size_t)(j->room.data - j->waiting.memory);
    struct tun_room room = {.data = memory + at, .header = j->room.header};
    return j->room.data != NULL && j->reading == j->waiting.newest &&
           at <= TUN_BUFFER - TUN_PACKET_MAX && tun_came(&room, p);
}

void worker_transmit_left(struct worker *w)
{
    struct journal *j = w->journal;
    uint16_t places[FAIRQ_PACKETS];
    unsigned turn, n = fairq_left(&j->waiting, places, &turn);
    struct packet p;
    w->runs_done = turn > 0 ? underlay_sent(&j->sent) : 0;
    for (unsigned i = 0; i < n; i++) {
        /* The runs of the turn are to be what they were: nothing else may join them. */
        if (i == turn)
            sendq_flush(&w->queue);
        if (fairq_restore(&j->waiting, places[i], j->tun_buffer, &p))
            transmit_packet(w, &p);
    }
    if (read_last(j, j->tun_buffer, &p))
        transmit_packet(w, &p);
    sendq_flush(&w->queue);
    w->runs_done = 0;
    count(&w->counters, COUNTER_TX_TAKEN_UP, n);
}
