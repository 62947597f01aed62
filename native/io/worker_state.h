/*
 * What the files of a worker share: worker.c is its life and its loop, worker_tx.c the way from the TUN to the
 * underlay, worker_rx.c the way back. Nobody else looks inside.
 */
#ifndef WEFT_WORKER_STATE_H
#define WEFT_WORKER_STATE_H

#include <pthread.h>

#include "../core/fairq.h"
#include "../core/gro.h"
#include "worker.h"

enum {
    TUN_PACKET_MAX = 65535 + 1,
    /* Packets that were read wait here for their flow's turn: 64 super-packets. Little of it is used without a queue. */
    TUN_BUFFER = 64 * (TUN_PACKET_MAX + HEADROOM),
    /*
     * What one direction may carry before the other has its turn. The less, the sooner the other's packets have theirs;
     * with a few super-packets the processor's cache still helps.
     */
    TURN_BYTES = 6 * 65536,
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
    struct fairq waiting;
    struct sendq queue;
    struct receiver receiver;
    struct gro gro;
    struct capture *capture; /* of this round; null: none runs */
    bool coalesce;
    /* Something left, since heard_ms, from sockets whose error queues no epoll watches; they were read then. */
    bool unheard;
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

/* Carries packets from the TUN to the underlay: one turn. */
void worker_transmit(struct worker *w);

/* Carries what was read from the TUN and waits, before the thread ends. */
void worker_transmit_rest(struct worker *w);

/* Sends what the send queue holds; for the queue to call. */
void worker_send_runs(void *worker);

/* Reads error queues: each error belongs to the peer it was sent to, not to whoever sends next. */
void worker_drain_errors(struct worker *w, const struct underlay *u);

/* Carries packets from an underlay socket to the TUN: one turn. */
void worker_receive(struct worker *w, unsigned which);

/* Writes a packet, or `segments` packets that were coalesced into one, to the TUN; for coalescing to call. */
void worker_write_packet(void *worker, const struct packet *p, const struct iovec *tail,
                         unsigned segments);

/* Tells the control side. Returns whether there was room for the event. */
bool worker_report(struct worker *w, const struct event *event);

/* The same for an event about the host with an underlay address. */
bool worker_report_about(struct worker *w, const uint8_t address[16], struct event event);

#endif
