/*
 * The way of a packet, both directions, without any I/O: bytes in, a verdict out. `tx` is from the TUN to the
 * underlay, `rx` from the underlay to the TUN.
 *
 *   forward_tx: parse → addresses → source → route → TTL → encapsulate, segment or fragment → send queue
 *   forward_rx: sender → VXLAN and Ethernet → parse → addresses → source and destination → ECN → packet for the TUN
 *
 * One struct forward belongs to one worker. Tables are read only and stay valid for the duration of a call; the send
 * queue refers to peers by their row, so it is flushed before other tables are used.
 */
#ifndef WEFT_FORWARD_H
#define WEFT_FORWARD_H

#include "counters.h"
#include "icmp.h"
#include "ip.h"
#include "sendq.h"
#include "tables.h"

enum format { FORMAT_UDP, FORMAT_VXLAN };

struct forward {
    enum format format;
    unsigned worker; /* whose peer statistics to write */
    const struct tables *tables;
    uint64_t now_ms; /* CLOCK_MONOTONIC, of this batch */
    struct counters *counters;
    struct sendq *queue;
    struct icmp_limiter icmp;
    struct bucket neighbour_replies;
    /* An ICMP error that forward_tx or forward_too_big wants written to the TUN. */
    uint8_t reply[ICMP_ERROR_MAX];
    size_t reply_len;
};

/*
 * Forwards a packet read from the TUN: appends its datagrams to the send queue, which then refers to the packet's
 * bytes (TTL and headroom are written to). Counts it as "in" and, when dropped, under the reason that is returned;
 * "forwarded" is counted by whoever sends. A reply_len other than 0 afterwards is an ICMP error for the sender.
 */
enum drop forward_tx(struct forward *f, struct packet *p);

/*
 * Puts an ICMP error into `reply` about a datagram to `peer` (a row of the tables) that the underlay found too large,
 * when the path's MTU has been learned meanwhile. The datagram's n pieces are as forward_tx made them.
 */
void forward_too_big(struct forward *f, uint32_t peer, const struct iovec *pieces, size_t n);

/* What arrived: a datagram or, with a gro_size, perhaps several of that many bytes each. */
struct datagram {
    uint8_t *data;
    size_t len;
    size_t gro_size; /* 0: just one */
    uint8_t tos;     /* of the outer header: TOS or traffic class */
};

/*
 * The length of the first datagram of what arrived. A peer's kernel on the same machine may hand over an unsegmented
 * inner packet with the inner segment size; then it is one datagram whatever gro_size says.
 */
size_t forward_rx_split(const struct forward *f, const struct datagram *d);

/*
 * Admits one datagram from `peer` (null: nobody we know). Counts it as "in" and, when dropped, under the reason that
 * is returned. Otherwise *out is the inner packet, to be written to the TUN; its data is null when the datagram was
 * consumed, which is counted, and an answer to the peer may wait in the send queue.
 */
enum drop forward_rx(struct forward *f, const struct peer *peer, const struct datagram *d,
                     struct packet *out);

#endif
