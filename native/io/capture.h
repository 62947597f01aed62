/*
 * Captures: copies of what the workers see, for `weft capture`. While one runs, each worker writes records into a ring
 * of its own, which the control thread empties; when a ring is full, records are lost and counted, and the worker
 * never waits. While none runs, a worker finds a null pointer and does nothing.
 *
 *   from the TUN ──► forward_tx ──► to the underlay          TUN_IN, UNDERLAY_OUT
 *   to the TUN ◄── coalescing ◄── forward_rx ◄── from the underlay          UNDERLAY_IN, TUN_OUT
 *
 * A packet that comes in is recorded before anything is written to it and published with its verdict, which may be
 * that the filter does not want it. What goes out meanwhile is recorded behind it.
 */
#ifndef WEFT_CAPTURE_H
#define WEFT_CAPTURE_H

#include <sys/uio.h>

#include "../core/forward.h"
#include "rcu.h"
#include "underlay.h"

enum capture_step {
    CAPTURE_TUN_IN,
    CAPTURE_UNDERLAY_OUT,
    CAPTURE_UNDERLAY_IN,
    CAPTURE_TUN_OUT,
    CAPTURE_STEPS,
    CAPTURE_SKIP = CAPTURE_STEPS, /* in a ring: to be passed over */
};

/* What to record; a packed row from src/dataplane/capture.ts. Zero means any. */
struct capture_filter {
    uint8_t peer[16];   /* underlay address, IPv4 mapped */
    uint8_t prefix[16]; /* of the inner source or destination; IPv4 in the first four bytes */
    uint8_t family;     /* of the prefix, 4 or 6 */
    uint8_t length;
    uint8_t reason;     /* enum drop */
    uint8_t directions; /* bits: 1 << DIRECTION_TX, 1 << DIRECTION_RX */
    uint32_t snaplen;   /* bytes kept of each packet */
};
static_assert(sizeof(struct capture_filter) == 40, "packed by src/dataplane/capture.ts");

/* What stands in front of a packet's bytes in a ring, in host byte order. Records begin at multiples of its size. */
enum { CAPTURE_CONSUMED = 1, CAPTURE_PARTIAL = 2, CAPTURE_REPLY = 4 };
struct capture_record {
    uint32_t size; /* of the whole record, to the next one */
    uint8_t step;
    uint8_t reason; /* enum drop */
    uint8_t tos;    /* of the outer header */
    uint8_t flags;
    uint64_t time_ns; /* since 1970 */
    uint32_t captured, length;
    uint32_t parts;   /* datagrams that a packet became, or packets coalesced into it */
    uint16_t mss;     /* of a super-packet, else 0 */
    uint16_t port;    /* source port of a datagram */
    uint8_t peer[16]; /* underlay address; zero: none, or unknown */
    uint8_t reserved[16];
};
static_assert(sizeof(struct capture_record) == 64, "read by src/dataplane/capture.ts");

enum { CAPTURE_RING = 8 * 1024 * 1024 };

/* One worker's part of a capture. */
struct capture {
    struct capture_filter filter;
    uint64_t head; /* end of what is recorded; what is behind `written` waits for a verdict */
    uint64_t sent; /* datagrams that have left the send queue */
    struct {       /* the packet that waits for its verdict */
        bool wanted;
        enum capture_step step;
        struct capture_record *record; /* null: it did not fit */
        uint64_t at;
        uint64_t datagrams; /* sent and waiting before it */
    } open;
    _Atomic uint64_t written, taken;
    _Atomic uint64_t lost[CAPTURE_STEPS];
    uint8_t ring[CAPTURE_RING] __attribute__((aligned(64)));
};

/* The engine's. */
struct captures {
    _Atomic(struct capture *) current; /* one per worker; null: none runs */
    struct capture *stopped;           /* until no worker can see it any more */
    struct rcu_moment stop;
};

/* --- control side --------------------------------------------------------------------------------------------- */

/* 0, EBUSY (one runs) or ENOMEM. */
int capture_start(struct captures *captures, const struct rcu *rcu,
                  const struct capture_filter *filter);
/* Moves whole records of one worker to `into` (CAPTURE_RING bytes). Returns how many bytes; 0: nothing waits. */
size_t capture_read(struct captures *captures, const struct rcu *rcu, uint8_t *into);
/* Ends it; what was not read is gone. `lost`: records that did not fit. Without a capture all are 0. */
void capture_stop(struct captures *captures, const struct rcu *rcu, uint64_t lost[CAPTURE_STEPS]);
/* No worker runs any more. */
void capture_destroy(struct captures *captures);

/* --- worker side, inside a section ---------------------------------------------------------------------------- */

/* This worker's part of the running capture, until the end of the section; null: none runs. */
static inline struct capture *capture_enter(struct captures *captures, unsigned worker)
{
    struct capture *c = atomic_load(&captures->current);
    return c == NULL ? NULL : c + worker;
}

/* A packet comes in: as read from the TUN, or a datagram of the message `m`. To be followed by its verdict. */
void capture_tun_in(struct capture *c, const struct forward *f, const struct packet *p);
void capture_underlay_in(struct capture *c, const struct forward *f, const struct received *m,
                         const struct datagram *d);
/* What became of it: dropped for `reason`, consumed, or let through. */
void capture_verdict(struct capture *c, const struct forward *f, enum drop reason, bool consumed);

/* A run was sent, or dropped for `reason`. */
void capture_run(struct capture *c, const struct forward *f, const struct run *run, uint16_t port,
                 enum drop reason);
/* `segments` packets, coalesced into *p and `n` pieces behind it, were written to the TUN, or dropped. */
void capture_tun_out(struct capture *c, const struct forward *f, const struct packet *p,
                     const struct iovec *tail, size_t n, unsigned segments, enum drop reason);
/* f->reply, an ICMP error about a packet dropped for `reason`, was written to the TUN. */
void capture_reply(struct capture *c, const struct forward *f, enum drop reason);

#endif
