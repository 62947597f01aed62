/*
 * One dataplane: a TUN, the underlay sockets, and the workers that carry packets between them. Opened, started,
 * given tables and stopped by one control thread; the workers never wait for it.
 */
#ifndef WEFT_ENGINE_H
#define WEFT_ENGINE_H

#include "../core/forward.h"
#include "capture.h"
#include "events.h"
#include "failure.h"
#include "journal.h"
#include "rcu.h"
#include "tun.h"
#include "underlay.h"

/* What one daemon can take over from another: the queues of packets, and what was read of them by workers that died. */
enum engine_fd { FD_TUN, FD_UNDERLAY4, FD_UNDERLAY6, FD_JOURNAL, ENGINE_FDS };

struct engine_options {
    const char *tun;
    enum format format;
    uint16_t port;
    bool underlay4, underlay6;
    bool tso, uso, gso, gro; /* offloads that may be used */
    unsigned workers;        /* 1, or 2: one for each direction */
    bool realtime;           /* workers may have real-time priority for bulk */
    int adopt[ENGINE_FDS];   /* descriptors to duplicate where they fit; -1: none */
};

struct engine {
    enum format format;
    struct tun tun;
    struct underlay underlays[2]; /* IPv4, IPv6; fd -1 when not used */
    struct journals *journals;
    struct journals *spare; /* while another process that lives has those */
    int journal_fd;         /* -1: nobody can take it over */
    bool journal_adopted;
    bool gro;
    bool realtime; /* wanted, and allowed */
    struct rcu rcu;
    struct captures captures;
    struct worker *workers[WORKERS_MAX];
    unsigned worker_count;
    _Atomic unsigned stopping; /* workers that are to stop and have not */
    const char *gate;
    uint64_t paused_us; /* when they were told to stop */
    int gate_error;
    void (*notify)(void *context);
    void *notify_context;
};

/* Opens everything, or nothing: null with *failure filled. Free with engine_free. */
struct engine *engine_open(const struct engine_options *options, struct failure *failure);

/* Starts the workers, who wait until the descriptor `gate` can be read, unless that is -1. 0 or an errno. */
int engine_start(struct engine *engine, int gate);

/*
 * Stops the workers, who carry what they have read to its end. They may be started again. The last one to stop sends a
 * datagram to the unix socket `gate`, unless that is null: other workers may wait for it. It has the time at which these
 * were told to stop, CLOCK_MONOTONIC in microseconds, 8 bytes in host order. Returns 0 or the errno of that.
 */
int engine_pause(struct engine *engine, const char *gate);

/* For a worker that has stopped. */
void engine_stopped(struct engine *engine);

/*
 * Whether every worker has gone through its loop since the last call, or never was asked. To be called every now and
 * then: it wakes those that sleep, so that they have by the next call.
 */
bool engine_advanced(struct engine *engine);

/* One of the descriptors, -1 when it is not used, and whether it was adopted. */
int engine_fd(const struct engine *engine, enum engine_fd which, bool *adopted);

/* Replaces the tables (rows as in core/tables.h) under running traffic. 0 or an errno, with nothing changed. */
int engine_replace_tables(struct engine *engine, uint32_t generation, const uint8_t *self,
                          size_t self_len, const uint8_t *peers, size_t peers_len,
                          const uint8_t *routes, size_t routes_len);

/* The sum over the workers of one counter, given by its offset in struct counters. */
uint64_t engine_counter(const struct engine *engine, size_t offset);

/* The tables last published; null before the first. For the control thread. */
const struct tables *engine_tables(struct engine *engine);

/* Sets who is told, on a worker's thread, that there are events to take. Before engine_start. */
void engine_on_events(struct engine *engine, void (*notify)(void *context), void *context);

/* Takes the next event of any worker. False: none. */
bool engine_take_event(struct engine *engine, struct event *event);

/* Stops and joins the workers, closes TUN and sockets, frees everything. */
void engine_free(struct engine *engine);

#endif
