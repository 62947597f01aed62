/*
 * What the files of a worker share: worker.c is its life and its loop, worker_tx.c the way from the TUN to the
 * underlay, worker_rx.c the way back. Nobody else looks inside.
 */
#ifndef WEFT_WORKER_STATE_H
#define WEFT_WORKER_STATE_H

#include <pthread.h>

#include "../core/gro.h"
#include "realtime.h"
#include "worker.h"

enum {
    /*
     * What one direction may carry before the other has its turn, and before the next packets are read ahead, whose flow
     * may be first. Less than two super-packets is still sooner, but takes more of the processor.
     */
    TURN_BYTES = 2 * 65536,
    /* At most one event about an unreachable peer, or a stranger, in this time. */
    PEER_EVENT_MS = 10000,
    PEER_EVENT_SLOTS = 256,
};

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
    struct journal *journal; /* while it runs */
    /* Of what is being forwarded again: runs that were sent, and packets that were written to the TUN. */
    uint64_t runs_done, writes_done;
    struct sendq queue;
    struct gro gro;
    struct capture *capture; /* of this round; null: none runs */
    bool coalesce;
    /* Something left, since heard_ms, from sockets whose error queues no epoll watches; they were read then. */
    bool unheard;
    uint64_t heard_ms;
    bool close; /* the last sleep was so short that looking would have been better */
    struct load {
        uint64_t ms, packets, kib;
        uint64_t reads; /* super-packets, and datagrams that the kernel coalesced, are one each */
    } load;             /* until then */
    uint64_t messages;  /* read from sockets */
    uint64_t rest_ms;   /* until when not to look */
    uint64_t rested_ms; /* for how long, the last time that looking took long */
    uint64_t bulk_ms;   /* until when it counts as carrying bulk */
    struct realtime realtime;
    uint32_t overflows[2]; /* per underlay, as counted so far */
    struct event_ring events;
    uint64_t peer_events_ms[PEER_EVENT_SLOTS];
    struct bucket stranger_events;
    uint8_t strangers[PEER_EVENT_SLOTS][16]; /* whom events have told of */
};

/* Carries packets from the TUN to the underlay: one turn. */
void worker_transmit(struct worker *w);

/* Carries what was read from the TUN and waits, before the thread ends. */
void worker_transmit_rest(struct worker *w);

/* Carries what a thread that died had read from the TUN, and lets the queue begin anew. */
void worker_transmit_left(struct worker *w);

/* Sends what the send queue holds; for the queue to call. */
void worker_send_runs(void *worker);

/* Reads error queues: each error belongs to the peer it was sent to, not to whoever sends next. */
void worker_drain_errors(struct worker *w, const struct underlay *u);

/* Carries packets from an underlay socket to the TUN: one turn. */
void worker_receive(struct worker *w, unsigned which);

/* The same of what such a thread had received; `writes_done` packets of it are at the TUN already. */
void worker_receive_left(struct worker *w, uint64_t writes_done);

/* Writes to the TUN, as tun_write does, and notes it in the journal. */
int worker_write_tun(struct worker *w, const struct packet *p, const struct iovec *tail, size_t n);

/* Writes a packet, or the headers and payloads of n that were coalesced into one; for coalescing to call. */
void worker_write_packet(void *worker, const struct packet *p, const struct iovec *payloads,
                         unsigned n);

/* Tells the control side. Returns whether there was room for the event. */
bool worker_report(struct worker *w, const struct event *event);

/* The same for an event about the host with an underlay address. */
bool worker_report_about(struct worker *w, const uint8_t address[16], struct event event);

#endif
