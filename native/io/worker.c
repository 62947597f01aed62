/* Life of the thread, then the two directions, then the loop and how it waits. */
#define _GNU_SOURCE
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "../core/gro.h"
#include "../core/gso.h"

enum {
    TUN_PACKET_MAX = 65535 + 1,
    /* Packets wait here for the flush. Small enough to stay in L2, large enough for a few super-packets. */
    TUN_BUFFER = 6 * (TUN_PACKET_MAX + HEADROOM),
    /* What one direction may do before the other has its turn. */
    TUN_BUDGET = 128,
    UNDERLAY_BUDGET = 4, /* batches */
    ERROR_QUEUE_BUDGET = 64,
    /* How long errors about what was sent may wait in the error queues of sockets that no epoll watches. */
    ERROR_QUEUE_MS = 100,
    /* How long to look for the next packet before sleeping, while packets follow each other closely. */
    SPIN_US = 100,
    /* Packets, and KiB of them, in a millisecond: with more there is no need to look. */
    SPIN_LOAD = 128,
    /* How long not to look after there were, or after somebody kept the processor that he was given meanwhile. */
    SPIN_YIELD_US = 1000, /* that is, so long */
    SPIN_REST_MS = 50,
    /* At most one event about an unreachable peer, or a stranger, in this time. */
    PEER_EVENT_MS = 10000,
    PEER_EVENT_SLOTS = 256,
};

/* What epoll reports in data.u32. */
enum source { SOURCE_WAKE, SOURCE_TUN, SOURCE_UNDERLAY4, SOURCE_UNDERLAY6, SOURCES };

struct worker {
    struct engine *engine;
    unsigned index;
    pthread_t thread;
    bool started;
    int gate; /* what to wait for before the first round; -1: nothing */
    int epoll_fd;
    int wake_fd;
    _Atomic bool stopping;
    _Atomic uint64_t rounds;
    uint64_t rounds_seen; /* by the control thread */
    struct counters counters;
    struct forward forward;
    struct sendq queue;
    struct receiver receiver;
    struct gro gro;
    struct capture *capture; /* of this round; null: none runs */
    bool coalesce;
    bool unheard; /* sent since heard_ms, when the error queues were last read */
    uint64_t heard_ms;
    bool close;             /* the last sleep was so short that looking would have been better */
    uint64_t load, load_ms; /* packets and KiB until that time */
    uint64_t rest_ms;       /* until when not to look */
    uint32_t overflows[2];  /* per underlay, as counted so far */
    struct event_ring events;
    uint64_t peer_events_ms[PEER_EVENT_SLOTS];
    struct bucket stranger_events;
    uint8_t strangers[PEER_EVENT_SLOTS][16]; /* whom events have told of */
    uint8_t tun_buffer[TUN_BUFFER];
    uint8_t receive_buffers[UNDERLAY_RECEIVE_BATCH * UNDERLAY_BUFFER];
};

static void send_runs(void *owner);
static void write_packet(void *owner, const struct packet *p, const struct iovec *tail,
                         unsigned segments);
static void *run(void *argument);

/* --- life ----------------------------------------------------------------------------------------------------- */

static int watch(const struct worker *w, int fd, enum source source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
    return fd < 0 ? 0 : epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int watch_underlays(const struct worker *w)
{
    if (watch(w, w->engine->underlays[0].fd, SOURCE_UNDERLAY4) < 0)
        return -1;
    return watch(w, w->engine->underlays[1].fd, SOURCE_UNDERLAY6);
}

struct worker *worker_create(struct engine *engine, unsigned index, struct failure *failure)
{
    struct worker *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);
    if (w == NULL) {
        *failure = (struct failure){.error = ENOMEM, .call = "aligned_alloc"};
        return NULL;
    }
    memset(w, 0,
           offsetof(struct worker, tun_buffer)); /* the buffers' pages come when they are used */
    w->engine = engine;
    w->index = index;
    w->forward.format = engine->format;
    w->forward.worker = index;
    w->forward.counters = &w->counters;
    w->forward.queue = &w->queue;
    w->queue.send = send_runs;
    w->queue.owner = w;
    bool gso = (engine->underlays[0].fd < 0 || engine->underlays[0].gso) &&
               (engine->underlays[1].fd < 0 || engine->underlays[1].gso);
    w->queue.max_datagrams = gso ? RUN_DATAGRAMS : 1;
    w->receiver.buffers = w->receive_buffers;
    w->gro.udp = engine->tun.uso;
    w->gro.write = write_packet;
    w->gro.owner = w;
    w->coalesce = engine->gro;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->rounds_seen = UINT64_MAX;
    if (w->epoll_fd < 0 || w->wake_fd < 0 || watch(w, w->wake_fd, SOURCE_WAKE) < 0 ||
        (index == 0 && watch(w, engine->tun.fd, SOURCE_TUN) < 0) ||
        (index == engine->worker_count - 1 && watch_underlays(w) < 0)) {
        *failure = (struct failure){.error = errno, .call = "epoll of a worker"};
        worker_destroy(w);
        return NULL;
    }
    return w;
}

int worker_start(struct worker *w, int gate)
{
    w->gate = gate;
    /* Signals are the event loop's business: the thread is created with all of them blocked. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->started = error == 0;
    if (w->started)
        pthread_setname_np(w->thread, "weft-worker");
    return error;
}

void worker_stop(struct worker *w)
{
    if (!w->started)
        return;
    atomic_store(&w->stopping, true);
    eventfd_write(w->wake_fd, 1);
    pthread_join(w->thread, NULL);
    atomic_store(&w->stopping, false);
    w->started = false;
}

bool worker_advanced(struct worker *w)
{
    uint64_t seen = w->rounds_seen;
    w->rounds_seen = atomic_load_explicit(&w->rounds, memory_order_relaxed);
    eventfd_write(w->wake_fd, 1);
    return w->rounds_seen != seen;
}

void worker_destroy(struct worker *w)
{
    if (w == NULL)
        return;
    worker_stop(w);
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    free(w);
}

const struct counters *worker_counters(const struct worker *w)
{
    return &w->counters;
}

struct event_ring *worker_events(struct worker *w)
{
    return &w->events;
}

/* Returns whether there was room for the event. */
static bool report(struct worker *w, const struct event *event)
{
    if (!event_put(&w->events, event))
        return false;
    if (w->engine->notify != NULL)
        w->engine->notify(w->engine->notify_context);
    return true;
}

/* The same for an event about the host with an underlay address. */
static bool report_about(struct worker *w, const uint8_t address[16], struct event event)
{
    memcpy(event.address, address, sizeof event.address);
    return report(w, &event);
}

/* --- tx: from the TUN to the underlay ------------------------------------------------------------------------- */

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
    report_about(w, address, (struct event){.kind = EVENT_PEER_ERROR, .error = error});
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
        report_about(w, e->peer, (struct event){.kind = EVENT_PATH_MTU, .value = mtu});
    }
}

/* The ICMP error about a packet that was dropped for `reason`, if there is one. */
static void write_reply(struct worker *w, enum drop reason)
{
    if (w->forward.reply_len == 0)
        return;
    tun_write(&w->engine->tun,
              &(struct packet){.data = w->forward.reply, .len = w->forward.reply_len}, NULL, 0);
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

/* Errors of earlier sends wait here; each belongs to the peer it was sent to, not to whoever sends next. */
static void drain_errors(struct worker *w, const struct underlay *u)
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
    drain_errors(w, u);
    if (single_error != 0) {
        count_lost(w, run, single_error);
        return;
    }
    count_sent(w, run);
    if (error == EMSGSIZE)
        return;
    w->queue.max_datagrams = 1;
    report(w, &(struct event){.kind = EVENT_OFFLOAD_OFF, .error = error, .detail = "gso"});
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
    drain_errors(w, u);
    if (!retried && send_error_reason(error) == DROP_send_failed)
        return true;
    count_lost(w, run, error);
    return false;
}

/* Sends what the send queue holds. */
static void send_runs(void *owner)
{
    struct worker *w = owner;
    struct sendq *q = &w->queue;
    bool retried = false;
    for (size_t i = 0; i < q->run_count;) {
        const struct underlay *u = underlay_of(w, &q->runs[i]);
        size_t n = 1;
        while (i + n < q->run_count && n < UNDERLAY_BATCH &&
               leave_together(w, &q->runs[i], &q->runs[i + n]))
            n++;
        int error;
        size_t sent = underlay_send(u, w->forward.tables, q, &q->runs[i], n, &error);
        for (size_t j = 0; j < sent; j++)
            count_sent(w, &q->runs[i + j]);
        i += sent;
        if (sent > 0) {
            retried = false;
        } else {
            retried = handle_send_error(w, u, &q->runs[i], error, retried);
            i += !retried;
        }
    }
    w->unheard |= q->run_count > 0;
}

static void fail_tun(struct worker *w, int error)
{
    epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, w->engine->tun.fd, NULL);
    report(w, &(struct event){.kind = EVENT_TUN_GONE, .error = error});
}

/* Reads the TUN until it is empty or the budget is used up. */
static void drain_tun(struct worker *w)
{
    size_t offset = 0;
    for (int i = 0; i < TUN_BUDGET; i++) {
        struct packet p;
        if (offset + HEADROOM + TUN_PACKET_MAX > TUN_BUFFER) {
            sendq_flush(&w->queue);
            offset = 0;
        }
        int error =
            tun_read(&w->engine->tun, w->tun_buffer + offset + HEADROOM, TUN_PACKET_MAX, &p);
        if (error != 0) {
            if (error != EAGAIN && error != EINTR)
                fail_tun(w, error);
            break;
        }
        if (w->capture != NULL)
            capture_tun_in(w->capture, &w->forward, &p);
        enum drop reason = forward_tx(&w->forward, &p);
        if (w->capture != NULL)
            capture_verdict(w->capture, &w->forward, reason, false);
        write_reply(w, reason);
        offset += (HEADROOM + p.len + 63) & ~(size_t)63;
    }
    sendq_flush(&w->queue);
}

/* --- rx: from the underlay to the TUN ------------------------------------------------------------------------- */

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
        error = tun_write(&w->engine->tun, &head, &tail, 1);
    }
    return error;
}

/* Writes a packet, or `segments` packets that were coalesced into one. */
static void write_packet(void *owner, const struct packet *p, const struct iovec *tail,
                         unsigned segments)
{
    struct worker *w = owner;
    bool whole = p->gso != GSO_UDP || w->engine->tun.uso;
    int error = whole ? tun_write(&w->engine->tun, p, tail, segments - 1) : write_segments(w, p);
    /* Some kernels refuse a super-packet whose last segment is short. */
    if (whole && error == EINVAL && p->gso != GSO_NONE) {
        if (segments == 1) {
            error = write_segments(w, p);
        } else {
            w->coalesce = false;
            report(w, &(struct event){.kind = EVENT_OFFLOAD_OFF, .error = error, .detail = "gro"});
        }
    }
    if (error == 0)
        count(&w->counters, COUNTER_RX_FORWARDED, segments);
    else
        count_drops(&w->counters, DIRECTION_RX, DROP_tun_write, segments);
    if (w->capture != NULL)
        capture_tun_out(w->capture, &w->forward, p, tail, segments - 1, segments,
                        error == 0 ? DROP_NONE : DROP_tun_write);
}

static void deliver(struct worker *w, const struct packet *p)
{
    if (w->coalesce)
        gro_receive(&w->gro, p);
    else
        write_packet(w, p, NULL, 1);
}

/* Tells of the first packet of a peer that is dropped for a reason, and of strangers, who may be many. */
static void report_drop(struct worker *w, const struct peer *peer, const uint8_t source[16],
                        enum drop reason)
{
    struct event event = {.kind = EVENT_PEER_DROP, .detail = drop_name(reason)};
    if (peer != NULL) {
        uint64_t bit = 1ull << reason;
        if (!(atomic_load_explicit(&peer->state->reported, memory_order_relaxed) & bit) &&
            report_about(w, source, event))
            atomic_fetch_or_explicit(&peer->state->reported, bit, memory_order_relaxed);
        return;
    }
    /* Slots are shared by the last byte of the address; an address that lost its slot may be told of again. */
    uint8_t *told = w->strangers[source[15] % PEER_EVENT_SLOTS];
    if (memcmp(told, source, sizeof event.address) != 0 &&
        bucket_take(&w->stranger_events, 10, 1, w->forward.now_ms * 1000 / PEER_EVENT_MS) &&
        report_about(w, source, event))
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

/* Receives until the socket is empty or the budget is used up. */
static void drain_underlay(struct worker *w, unsigned which)
{
    const struct underlay *u = &w->engine->underlays[which];
    bool more = true;
    for (int i = 0; i < UNDERLAY_BUDGET && more; i++) {
        w->receiver.overflows = w->overflows[which];
        int n = underlay_receive(u, &w->receiver, &more);
        /* An error here is one about an earlier send that was reported early. */
        if (n < 0)
            drain_errors(w, u);
        for (int j = 0; j < n; j++)
            receive_message(w, &w->receiver.messages[j]);
        gro_flush(&w->gro);
        count(&w->counters, COUNTER_RX_QUEUE_LOST, w->receiver.overflows - w->overflows[which]);
        w->overflows[which] = w->receiver.overflows;
    }
    sendq_flush(&w->queue); /* answers to peers */
}

/* --- the loop ------------------------------------------------------------------------------------------------- */

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t worker_now_ms(void)
{
    return now_us() / 1000;
}

/* Once in a millisecond: whether so much is carried that looking for more is not worth it for a while. */
static void weigh_load(struct worker *w)
{
    const _Atomic uint64_t *n = w->counters.value;
    uint64_t passed = w->forward.now_ms - w->load_ms;
    if (passed == 0)
        return;
    uint64_t load =
        n[COUNTER_TX_IN] + n[COUNTER_RX_IN] + (n[COUNTER_TX_BYTES] + n[COUNTER_RX_BYTES]) / 1024;
    if (load - w->load > SPIN_LOAD * passed)
        w->rest_ms = w->forward.now_ms + SPIN_REST_MS;
    w->load = load;
    w->load_ms = w->forward.now_ms;
}

/* One round over what epoll reported ready. It is level-triggered: what is left is reported again at once. */
static void serve(struct worker *w, const struct epoll_event *events, int n)
{
    w->forward.tables = rcu_enter(&w->engine->rcu, w->index);
    w->capture = capture_enter(&w->engine->captures, w->index);
    w->forward.now_ms = worker_now_ms();
    weigh_load(w);
    for (int i = 0; i < n; i++) {
        enum source source = events[i].data.u32;
        if (source == SOURCE_WAKE) {
            eventfd_t ignored;
            eventfd_read(w->wake_fd, &ignored);
        } else if (source == SOURCE_TUN) {
            drain_tun(w);
        } else {
            unsigned which = source == SOURCE_UNDERLAY4 ? 0 : 1;
            if (events[i].events & EPOLLERR)
                drain_errors(w, &w->engine->underlays[which]);
            drain_underlay(w, which);
        }
    }
    if (w->unheard && w->forward.now_ms - w->heard_ms >= ERROR_QUEUE_MS) {
        w->unheard = false;
        w->heard_ms = w->forward.now_ms;
        for (size_t i = 0; i < 2; i++)
            drain_errors(w, &w->engine->underlays[i]);
    }
    rcu_leave(&w->engine->rcu, w->index);
}

/*
 * Waits for something to do. Waking a thread can take longer than everything else that happens to a packet, so where
 * requests and answers follow each other closely the thread stays awake, yielding the processor to whoever wants it.
 */
static int wait_for_work(struct worker *w, struct epoll_event *events)
{
    uint64_t start = now_us(), now = start;
    while (w->close && now / 1000 >= w->rest_ms && now - start < SPIN_US) {
        sched_yield();
        int n = epoll_wait(w->epoll_fd, events, SOURCES, 0);
        uint64_t before = now;
        now = now_us();
        if (now - before > SPIN_YIELD_US)
            w->rest_ms = now / 1000 + SPIN_REST_MS;
        if (n != 0)
            return n;
    }
    int n = epoll_wait(w->epoll_fd, events, SOURCES, w->unheard ? ERROR_QUEUE_MS : -1);
    w->close = now_us() - now < SPIN_US;
    return n;
}

static void *run(void *argument)
{
    struct worker *w = argument;
    struct epoll_event events[SOURCES];
    struct pollfd first[2] = {{.fd = w->gate, .events = POLLIN},
                              {.fd = w->wake_fd, .events = POLLIN}};
    if (w->gate >= 0)
        poll(first, 2, -1);
    while (!atomic_load_explicit(&w->stopping, memory_order_relaxed)) {
        counter_bump(&w->rounds, 1);
        int n = wait_for_work(w, events);
        if (n < 0 && errno != EINTR) {
            report(w, &(struct event){.kind = EVENT_WORKER_FAILED, .error = errno});
            break;
        }
        if (n >= 0)
            serve(w, events, n);
    }
    return NULL;
}
