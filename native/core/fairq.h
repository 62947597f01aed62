/*
 * What a worker has read from the TUN and not forwarded yet, by flow, so that a flow that sends little does not wait
 * behind those that send much: the scheduler of RFC 8290 (FQ-CoDel, section 4.1), without its dropping. The TUN gives
 * packets in the order in which they came and cannot tell how many wait; this reads ahead of what is forwarded.
 *
 *   fairq_room → read there → fairq_put … fairq_take → forward → fairq_release, when nobody needs the bytes any more
 *
 * Packets lie in a ring of memory in the order in which they were read, and leave it in the order of their flows; room
 * is won back when the oldest is gone. Each flow's packets stay in order.
 *
 * The queue may lie in memory that outlives its thread (io/journal.h). Wherever that ends, fairq_left tells what had
 * been put in and not released: each step becomes true by one store, of `newest` or `turn`.
 */
#ifndef WEFT_FAIRQ_H
#define WEFT_FAIRQ_H

#include <stdatomic.h>

#include "ip.h"

enum {
    FAIRQ_PACKETS = 1024,
    FAIRQ_FLOWS = 256,
    FAIRQ_QUANTUM = 65536, /* bytes of one flow before another has its turn: a super-packet */
    FAIRQ_NONE = UINT16_MAX,
};

struct fairq_flow {
    int32_t credit;       /* bytes */
    uint16_t first, last; /* packets; FAIRQ_NONE: none */
    uint16_t next;        /* in its list of flows */
    bool listed;
};

struct fairq_list {
    uint16_t first, last; /* flows; FAIRQ_NONE: none */
};

/* A packet, and of its bytes those that forwarding changes. */
struct held {
    struct packet packet;
    uint8_t start[12];   /* TTL or hop limit, IPv4 header checksum */
    uint8_t checksum[2]; /* where it is partial */
    bool taken;
    uint16_t next; /* of its flow */
    size_t end;    /* where the next packet's room begins */
};

struct fairq {
    struct held held[FAIRQ_PACKETS];
    struct fairq_flow flows[FAIRQ_FLOWS];
    /* Flows that had nothing waiting are served first, once; then they are among the others, who take turns. */
    struct fairq_list fresh, others;
    uint8_t *memory;
    size_t size;
    size_t free_at;   /* in memory: where room begins, */
    size_t used_from; /* and what it may not reach while packets wait */
    unsigned oldest;  /* packets are numbered; held is a ring too */
    _Atomic unsigned newest;
    unsigned waiting; /* of them, not taken */
    /* Places in held of those taken since the last release, in their order. */
    _Atomic unsigned turn;
    uint16_t turns[FAIRQ_PACKETS];
};

/* An empty queue over `size` bytes of memory, which stay the caller's. */
void fairq_init(struct fairq *q, uint8_t *memory, size_t size);

/* Where a packet of up to `size` bytes may be read to, behind HEADROOM; null: there is no room now. */
uint8_t *fairq_room(struct fairq *q, size_t size);

/* Takes in a packet that was read to where fairq_room said. */
void fairq_put(struct fairq *q, const struct packet *p);

static inline bool fairq_waits(const struct fairq *q)
{
    return q->waiting > 0;
}

/* The packet whose turn it is; null: none waits. Its bytes are the caller's until fairq_release. */
const struct packet *fairq_take(struct fairq *q);

/* Wins back the room of packets that were taken. */
void fairq_release(struct fairq *q);

/*
 * What a thread that ended left in the queue, as places in held, in the order in which it has to be forwarded: first
 * what was taken and not released (*turn of them), then what was not taken. Returns how many. Any content of *q is fine;
 * it is to be initialised anew before it is used.
 */
unsigned fairq_left(const struct fairq *q, uint16_t places[FAIRQ_PACKETS], unsigned *turn);

/*
 * One of them as it was read, with its bytes made so again, in `memory`, which is where the queue's is now. False when
 * it cannot be one.
 */
bool fairq_restore(const struct fairq *q, uint16_t place, uint8_t *memory, struct packet *p);

#endif
