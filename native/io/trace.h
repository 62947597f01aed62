/*
 * What would become of a packet: one run through the very code that forwards, on scratch memory, without any I/O and
 * without leaving a mark in counters, limits or statistics.
 */
#ifndef WEFT_TRACE_H
#define WEFT_TRACE_H

#include "../core/forward.h"
#include "engine.h"

struct trace {
    enum drop reason;
    struct packet out;      /* rx: what would be written to the TUN; data null when nothing would */
    struct forward forward; /* with the ICMP error that would be written to the TUN */
    struct sendq queue;     /* what would be sent */
    struct counters counters;
    uint8_t bytes[]; /* the packet, behind its headroom */
};

/*
 * Traces a packet read from the TUN (peer TRACE_TX), or the payload of a datagram from the peer with that row of the
 * tables last published. `len` is at most 65535. For the control thread. Null with errno ENOMEM or, when there is no
 * such row, EINVAL. To be freed with free, before tables are replaced.
 */
#define TRACE_TX UINT32_MAX
struct trace *engine_trace(struct engine *engine, uint32_t peer, const uint8_t *bytes, size_t len);

#endif
