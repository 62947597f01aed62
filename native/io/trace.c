/* One packet, one struct forward, no worker. */
#include "trace.h"

#include <errno.h>
#include <stdlib.h>

#include "worker.h"

/* A queue that a single packet fills has nobody to send it: what it held is not shown. */
static void forget(void *owner)
{
    (void)owner;
}

struct trace *engine_trace(struct engine *e, uint32_t peer, const uint8_t *bytes, size_t len)
{
    const struct tables *tables = engine_tables(e);
    if (peer != TRACE_TX && (tables == NULL || peer >= tables->peer_count)) {
        errno = EINVAL;
        return NULL;
    }
    size_t size = sizeof(struct trace) + HEADROOM + len;
    struct trace *t = aligned_alloc(64, (size + 63) / 64 * 64);
    if (t == NULL)
        return NULL;
    memset(t, 0, sizeof *t);
    uint8_t *data = t->bytes + HEADROOM;
    memcpy(data, bytes, len);
    t->queue.max_datagrams = 1;
    t->queue.send = forget;
    t->forward.format = e->format;
    t->forward.worker = e->worker_count;
    t->forward.tables = tables;
    t->forward.now_ms = worker_now_ms();
    t->forward.counters = &t->counters;
    t->forward.queue = &t->queue;
    if (peer == TRACE_TX) {
        struct packet p = {.data = data, .len = len};
        t->reason = forward_tx(&t->forward, &p);
    } else {
        struct datagram d = {.data = data, .len = len};
        t->reason = forward_rx(&t->forward, &tables->peers[peer], &d, &t->out);
    }
    return t;
}
