/*
 * The send queue of a worker: datagrams waiting for one flush, as runs.
 *
 * A run is what one sendmsg can carry: datagrams to one peer with one TOS, all of the same size but for a shorter
 * last one, which is what UDP_SEGMENT asks for. Appending continues the last run where it can and starts another
 * where it cannot, so datagrams leave in the order in which they came. Without UDP_SEGMENT a run holds one datagram.
 *
 * Nothing is copied: pieces point into the worker's receive buffer or into the queue's own scratch memory, and must
 * stay as they are until the flush. When the queue is full, sendq_reserve calls the owner's flush.
 */
#ifndef WEFT_SENDQ_H
#define WEFT_SENDQ_H

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
};

struct run {
    uint32_t peer; /* row in the tables that the queue is filled under */
    uint8_t tos;   /* of the outer header: DSCP and ECN */
    bool closed;   /* by a short datagram */
    uint16_t datagrams;
    uint16_t packets; /* that began in this run: what a failure to send is counted as */
    /* Datagrams of a packet that began in an earlier run, and answers of our own. */
    uint16_t continued;
    uint32_t size; /* of each datagram but the last */
    uint32_t bytes;
    uint16_t first_piece;
    uint16_t pieces;
};

struct sendq {
    struct run runs[SENDQ_RUNS];
    struct iovec pieces[SENDQ_PIECES];
    uint8_t scratch[SENDQ_SCRATCH];
    size_t run_count, piece_count, scratch_used;
    uint16_t max_datagrams; /* per run: 1 without UDP_SEGMENT */
    void (*flush)(void *owner);
    void *owner;
};

/* Makes room for one datagram of two pieces with `scratch` bytes of headers, and returns where those go. */
uint8_t *sendq_reserve(struct sendq *q, size_t scratch);

/*
 * Appends one datagram: `headers` of header_len bytes and, when not empty, `payload`. Room was made by sendq_reserve.
 * packets: 1 for the first datagram of a packet, 0 for those that follow and for those nobody sent.
 */
void sendq_append(struct sendq *q, uint32_t peer, uint8_t tos, uint16_t packets, uint8_t *headers,
                  size_t header_len, uint8_t *payload, size_t payload_len);

/* How many of the pieces of a run, from `at` on, are the next datagram: they add up to its size, or end at `end`. */
size_t sendq_datagram(const struct run *run, const struct iovec *at, const struct iovec *end);

/* Forgets everything; what the flush does when it has sent it. */
void sendq_reset(struct sendq *q);

#endif
