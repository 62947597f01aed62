/*
 * The way of a packet, both directions, without any I/O: bytes in, a verdict out. `tx` is from the TUN to the
 * underlay, `rx` from the underlay to the TUN.
 *
 *   forward_tx: parse → addresses → route → TTL → encapsulate or segment → send queue
 *   forward_rx: sender → VXLAN and Ethernet → parse → addresses → source and destination → packet for the TUN
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
    /* An ICMP error that forward_tx wants written to the TUN. */
    uint8_t reply[ICMP_ERROR_MAX];
    size_t reply_len;
};

/*
 * Forwards a packet read from the TUN: appends its datagrams to the send queue, which then refers to the packet's
 * bytes (TTL and headroom are written to). Counts it as "in" and, when dropped, under its reason; "forwarded" is
 * counted by whoever sends. A reply_len other than 0 afterwards is an ICMP error for the sender.
 */
void forward_tx(struct forward *f, struct packet *p);

/*
 * The length of the first datagram in `len` received bytes that may be several of `gro_size` bytes each
 * (0: just one). A peer's kernel on the same machine may hand over an unsegmented inner packet with the inner
 * segment size; then it is one datagram whatever gro_size says.
 */
size_t forward_rx_split(const struct forward *f, const uint8_t *data, size_t len, size_t gro_size);

/*
 * Admits one datagram from `peer` (null: nobody we know). Counts it as "in". Returns true with the inner packet in
 * *out, to be written to the TUN; false when it was dropped or consumed, which is counted. An answer to the peer may
 * have been put into the send queue.
 */
bool forward_rx(struct forward *f, const struct peer *peer, uint8_t *data, size_t len,
                size_t gro_size, struct packet *out);

#endif
