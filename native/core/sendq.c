/* Appending datagrams to runs. Sending them is io/underlay.c's. */
#include "sendq.h"

uint8_t *sendq_reserve(struct sendq *q, size_t scratch)
{
    if (q->run_count == SENDQ_RUNS || q->piece_count + 2 > SENDQ_PIECES ||
        q->scratch_used + scratch > SENDQ_SCRATCH)
        q->flush(q->owner);
    return q->scratch + q->scratch_used;
}

static bool continues(const struct sendq *q, const struct run *run, uint32_t peer, uint8_t tos,
                      size_t size)
{
    return run->peer == peer && run->tos == tos && !run->closed && size <= run->size &&
           run->datagrams < q->max_datagrams && run->bytes + size <= RUN_BYTES;
}

static void add_piece(struct sendq *q, struct run *run, uint8_t *data, size_t len)
{
    q->pieces[q->piece_count++] = (struct iovec){.iov_base = data, .iov_len = len};
    run->pieces++;
}

void sendq_append(struct sendq *q, uint32_t peer, uint8_t tos, uint16_t packets, uint8_t *headers,
                  size_t header_len, uint8_t *payload, size_t payload_len)
{
    size_t size = header_len + payload_len;
    struct run *run = q->run_count == 0 ? NULL : &q->runs[q->run_count - 1];
    if (run == NULL || !continues(q, run, peer, tos, size)) {
        run = &q->runs[q->run_count++];
        *run = (struct run){
            .peer = peer,
            .tos = tos,
            .size = (uint32_t)size,
            .first_piece = (uint16_t)q->piece_count,
        };
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

void sendq_reset(struct sendq *q)
{
    q->run_count = q->piece_count = q->scratch_used = 0;
}
