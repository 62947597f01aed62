/*
 * What a worker has to tell the control plane, through a ring with one writer (the worker) and one reader (the event
 * loop's thread). When it is full, news is lost: counters keep the numbers, events are for logs and for endings.
 */
#ifndef WEFT_EVENTS_H
#define WEFT_EVENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What is about a peer comes last. */
enum event_kind {
    EVENT_WORKER_FAILED,
    EVENT_TUN_GONE,
    EVENT_OFFLOAD_OFF,
    EVENT_TAKEN_OVER, /* this worker carries what another process's did before */
    EVENT_PEER_ERROR,
    EVENT_PEER_DROP, /* the first packet of a peer that was dropped for a reason; its name is the detail */
    EVENT_PATH_MTU, /* the MTU of the path to a peer has been learned */
};

struct event {
    enum event_kind kind;
    int error;           /* errno */
    uint8_t address[16]; /* the peer's underlay address, for what is about a peer */
    /* EVENT_PATH_MTU: bytes of the outer packet. EVENT_TAKEN_OVER: microseconds since the others were to stop. */
    uint32_t value;
    const char *detail; /* static text or null */
};

enum { EVENT_SLOTS = 64 };
struct event_ring {
    _Atomic uint32_t written, taken;
    struct event slots[EVENT_SLOTS];
};

/* Worker side. False: the ring is full. */
static inline bool event_put(struct event_ring *ring, const struct event *event)
{
    uint32_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    if (written - atomic_load_explicit(&ring->taken, memory_order_acquire) == EVENT_SLOTS)
        return false;
    ring->slots[written % EVENT_SLOTS] = *event;
    atomic_store_explicit(&ring->written, written + 1, memory_order_release);
    return true;
}

/* Control side. False: nothing new. */
static inline bool event_take(struct event_ring *ring, struct event *event)
{
    uint32_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    if (taken == atomic_load_explicit(&ring->written, memory_order_acquire))
        return false;
    *event = ring->slots[taken % EVENT_SLOTS];
    atomic_store_explicit(&ring->taken, taken + 1, memory_order_release);
    return true;
}

#endif
