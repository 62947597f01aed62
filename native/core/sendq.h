/*
 * The send queue of a worker: datagrams waiting for one flush, as runs.
 *
 * A run is what one sendmsg can carry: datagrams of one way (a peer, and a source port of ours) with one TOS, all of
 * the same size but for a shorter last one, which is what UDP_SEGMENT asks for. Appending continues the way's last run
 * where it can and starts another where it cannot. So flows that take turns still make long runs, and datagrams of one
 * way, hence of one flow, leave in the order in which they came. Without UDP_SEGMENT a run holds one datagram.
 *
 * Nothing is copied: pieces point into the worker's receive buffer or into the queue's own scratch memory, and must
 * stay as they are until the flush, which happens when the owner wants it or when sendq_reserve finds the queue full.
 */
#ifndef WEFT_SENDQ_H
#define WEFT_SENDQ_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    SENDQ_RUNS = 128,
    SENDQ_PIECES = 1024,
    SENDQ_SCRATCH = 128 * 1024,
    RUN_DATAGRAMS = 64, /* UDP_MAX_SEGMENTS before Linux 6.9 */
    RUN_BYTES = 65000,  /* below 65535 less IPv6, extension and UDP headers */
    SENDQ_WAYS = 64, /* whose last run is remembered; ways that share a place make shorter runs */
};

/* Where a datagram goes. */
struct way {
    uint32_t peer; /* row in the tables that the queue is filled under */
    uint8_t port;  /* core/flow.h; 0 where there is just one */
    uint8_t tos;   /* of the outer header: DSCP and ECN */
};

struct run {
    struct way way;
    bool closed; /* by a short datagram */
    uint16_t datagrams;
    uint16_t packets; /* that began in this run: what a failure to send is counted as */
    /* Datagrams of a packet that began in an earlier run, and answers of our own. */
    uint16_t continued;
    uint32_t size; /* of each datagram but the last */
    uint32_t bytes;
    uint16_t first_piece; /* after sendq_arrange */
    uint16_t pieces;
};

struct sendq {
    struct run runs[SENDQ_RUNS];
    struct iovec pieces[SENDQ_PIECES];
    uint8_t scratch[SENDQ_SCRATCH];
    size_t run_count, piece_count, scratch_used;
    uint8_t last_run[SENDQ_WAYS];    /* of ways with this hash: its number + 1, 0 for none */
    uint8_t piece_run[SENDQ_PIECES]; /* the number of the run that a piece belongs to */
    bool scattered;                  /* the pieces of a run are not all next to each other */
    uint16_t max_datagrams;          /* per run: 1 without UDP_SEGMENT */
    void (*send)(void *owner);       /* sends all runs, which are arranged */
    void *owner;
};
static_assert(SENDQ_RUNS < UINT8_MAX, "fits last_run");

/* Makes room for one datagram of two pieces with `scratch` bytes of headers, and returns where those go. */
uint8_t *sendq_reserve(struct sendq *q, size_t scratch);

/*
 * Appends one datagram: `headers` of header_len bytes and, when not empty, `payload`. Room was made by sendq_reserve.
 * packets: 1 for the first datagram of a packet, 0 for those that follow and for those nobody sent.
 */
void sendq_append(struct sendq *q, struct way way, uint16_t packets, uint8_t *headers,
                  size_t header_len, uint8_t *payload, size_t payload_len);

/* Puts the pieces of each run next to each other. Who reads runs without a flush calls it first. */
void sendq_arrange(struct sendq *q);

/* Has the owner send what waits, and forgets it. */
void sendq_flush(struct sendq *q);

/* How many of the pieces of a run, from `at` on, are the next datagram: they add up to its size, or end at `end`. */
size_t sendq_datagram(const struct run *run, const struct iovec *at, const struct iovec *end);

#endif
