/* Appending datagrams to runs. Sending them is io/underlay.c's. */
#include "sendq.h"

#include <string.h>

uint8_t *sendq_reserve(struct sendq *q, size_t scratch)
{
    if (q->run_count == SENDQ_RUNS || q->piece_count + 2 > SENDQ_PIECES ||
        q->scratch_used + scratch > SENDQ_SCRATCH)
        sendq_flush(q);
    return q->scratch + q->scratch_used;
}

static bool continues(const struct sendq *q, const struct run *run, struct way way, size_t size)
{
    return run->way.peer == way.peer && run->way.port == way.port && run->way.tos == way.tos &&
           !run->closed && size <= run->size && run->datagrams < q->max_datagrams &&
           run->bytes + size <= RUN_BYTES;
}

static void add_piece(struct sendq *q, struct run *run, uint8_t *data, size_t len)
{
    q->piece_run[q->piece_count] = (uint8_t)(run - q->runs);
    q->pieces[q->piece_count++] = (struct iovec){.iov_base = data, .iov_len = len};
    run->pieces++;
}

void sendq_append(struct sendq *q, struct way way, uint16_t packets, uint8_t *headers,
                  size_t header_len, uint8_t *payload, size_t payload_len)
{
    size_t size = header_len + payload_len;
    uint8_t *last = &q->last_run[(way.peer ^ (uint32_t)way.port << 2) % SENDQ_WAYS];
    struct run *run = *last == 0 ? NULL : &q->runs[*last - 1];
    if (run == NULL || !continues(q, run, way, size)) {
        run = &q->runs[q->run_count++];
        *run = (struct run){
            .way = way,
            .size = (uint32_t)size,
            .first_piece = (uint16_t)q->piece_count,
        };
        *last = (uint8_t)q->run_count;
    } else if (*last != q->run_count) {
        q->scattered = true;
    }
    add_piece(q, run, headers, header_len);
    if (payload_len > 0)
        add_piece(q, run, payload, payload_len);
    /* Headers in scratch memory are used up by being appended. */
    if (headers == q->scratch + q->scratch_used)
        q->scratch_used += header_len;
    run->closed = size < run->size;
    run->datagrams++;
    if (packets == 0 && run->packets == 0)
        run->continued++;
    run->packets = (uint16_t)(run->packets + packets);
    run->bytes += (uint32_t)size;
}

size_t sendq_datagram(const struct run *run, const struct iovec *at, const struct iovec *end)
{
    size_t n = 0;
    for (size_t bytes = 0; at + n < end && bytes < run->size; n++)
        bytes += at[n].iov_len;
    return n;
}

void sendq_arrange(struct sendq *q)
{
    struct iovec pieces[SENDQ_PIECES];
    uint16_t next[SENDQ_RUNS], n = 0;
    if (!q->scattered)
        return;
    for (size_t i = 0; i < q->run_count; i++) {
        q->runs[i].first_piece = next[i] = n;
        n = (uint16_t)(n + q->runs[i].pieces);
    }
    for (size_t i = 0; i < q->piece_count; i++)
        pieces[next[q->piece_run[i]]++] = q->pieces[i];
    memcpy(q->pieces, pieces, n * sizeof *pieces);
    for (size_t i = 0; i < q->run_count; i++)
        memset(q->piece_run + q->runs[i].first_piece, (int)i, q->runs[i].pieces);
    q->scattered = false;
}

void sendq_flush(struct sendq *q)
{
    sendq_arrange(q);
    q->send(q->owner);
    q->run_count = q->piece_count = q->scratch_used = 0;
    memset(q->last_run, 0, sizeof q->last_run);
}
