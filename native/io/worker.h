/*
 * A worker: one thread that carries packets between the TUN and the underlay sockets, both ways or, where there are two
 * of them, one way each: the first reads the TUN, the last the sockets.
 *
 *   wait → [ receive from a socket → forward_rx → coalesce → write to the TUN ]
 *          [ read ahead from the TUN → by flow: forward_tx → send queue → flush ] → [ error queues ] → wait
 *
 * Each of the two is a turn of bounded length. What was read ahead and is not forwarded yet has the next one.
 *
 * It waits in epoll, and before that, when packets have been following each other closely, looks for them awake. While
 * it carries bulk it goes before other programs (realtime.h).
 *
 * Everything it needs is allocated when it is created. It calls no JavaScript, and takes no lock but its journal's
 * (journal.h), once, before the first round.
 */
#ifndef WEFT_WORKER_H
#define WEFT_WORKER_H

#include "engine.h"

/* Allocates a worker's memory and descriptors; it does not run yet. Null with *failure filled. */
struct worker *worker_create(struct engine *engine, unsigned index, struct failure *failure);

/* Starts its thread, which waits first until the descriptor `gate` can be read, unless that is -1. 0 or an errno. */
int worker_start(struct worker *worker, int gate);

/* Has its thread stop, once what it has read is carried to its end; it then calls engine_stopped. */
void worker_stop(struct worker *worker);

/* Waits until it has. The worker may be started again. */
void worker_join(struct worker *worker);

/*
 * Whether the thread has gone through its loop since the last call; true the first time. Wakes it, so that one that
 * sleeps in epoll has by the next call.
 */
bool worker_advanced(struct worker *worker);

/* Frees it; its thread must have stopped. Null is fine. */
void worker_destroy(struct worker *worker);

const struct counters *worker_counters(const struct worker *worker);
struct event_ring *worker_events(struct worker *worker);

/* CLOCK_MONOTONIC in milliseconds, the time that workers go by, and in microseconds. */
uint64_t worker_now_ms(void);
uint64_t worker_now_us(void);

#endif
