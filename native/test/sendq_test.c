/* Covers core/sendq: what one run holds, the accounting of packets, and the flush when the queue is
 * full. */
#include "../core/sendq.h"

#include "test.h"

static uint8_t memory[65536];

static void count_flush(void *owner)
{
    (void)owner;
    memory[0]++;
}

static struct sendq *new_queue(void)
{
    struct sendq *q = owned(sizeof *q);
    q->max_datagrams = RUN_DATAGRAMS;
    q->send = count_flush;
    memory[0] = 0;
    return q;
}

static void append(struct sendq *q, uint32_t peer, uint8_t tos, size_t size, uint16_t packets)
{
    sendq_reserve(q, 0);
    sendq_append(q, (struct way){.peer = peer, .tos = tos}, packets, memory, size, NULL, 0);
}

static void equal_sizes_make_one_run(void)
{
    struct sendq *q = new_queue();
    for (int i = 0; i < 5; i++)
        append(q, 1, 0, 100, 1);
    CHECK_EQ(q->run_count, 1);
    CHECK_EQ(q->runs[0].datagrams, 5);
    CHECK_EQ(q->runs[0].packets, 5);
    CHECK_EQ(q->runs[0].continued, 0);
    CHECK_EQ(q->runs[0].size, 100);
    CHECK_EQ(q->runs[0].bytes, 500);
    CHECK_EQ(q->runs[0].pieces, 5);
}

static void a_shorter_datagram_ends_the_run(void)
{
    struct sendq *q = new_queue();
    append(q, 1, 0, 100, 1);
    append(q, 1, 0, 99, 1);
    append(q, 1, 0, 99, 1);
    CHECK_EQ(q->run_count, 2);
    CHECK_EQ(q->runs[0].datagrams, 2);
    CHECK_EQ(q->runs[0].size, 100);
    CHECK_EQ(q->runs[0].bytes, 199);
    CHECK_EQ(q->runs[1].size, 99);
    CHECK_EQ(q->runs[1].first_piece, 2);
}

static void longer_ones_other_peers_and_other_tos_start_another(void)
{
    struct sendq *q = new_queue();
    append(q, 1, 0, 100, 1);
    append(q, 1, 0, 101, 1);
    append(q, 2, 0, 101, 1);
    append(q, 2, 2, 101, 1);
    append(q, 1, 2, 101, 1);
    CHECK_EQ(q->run_count, 5);
    CHECK_EQ(q->runs[3].way.tos, 2);
    CHECK_EQ(q->runs[4].way.peer, 1);
}

/* Datagrams of `ways` ways in turn: each names its way in the first byte, its place in it in the second. */
static struct sendq *take_turns(uint8_t ways, uint8_t each)
{
    struct sendq *q = new_queue();
    for (uint8_t i = 0; i < each; i++)
        for (uint8_t way = 0; way < ways; way++) {
            uint8_t *headers = sendq_reserve(q, 2);
            headers[0] = way;
            headers[1] = i;
            sendq_append(q, (struct way){.peer = way / 4u, .port = way % 4u}, 1, headers, 2, memory,
                         98);
        }
    return q;
}

static void ways_that_take_turns_have_a_run_each(void)
{
    struct sendq *q = take_turns(12, 10);
    CHECK_EQ(q->run_count, 12);
    sendq_arrange(q);
    for (uint8_t way = 0; way < 12; way++) {
        const struct run *run = &q->runs[way];
        CHECK_EQ(run->datagrams, 10);
        CHECK_EQ(run->pieces, 20);
        for (uint8_t i = 0; i < 10; i++) {
            const uint8_t *headers = q->pieces[run->first_piece + 2 * i].iov_base;
            CHECK(headers[0] == way && headers[1] == i);
        }
    }
}

static void a_way_goes_on_after_its_run_was_arranged(void)
{
    struct sendq *q = take_turns(3, 2);
    sendq_arrange(q);
    sendq_append(q, (struct way){.port = 1}, 1, memory, 100, NULL, 0);
    sendq_arrange(q);
    CHECK_EQ(q->run_count, 3);
    CHECK_EQ(q->runs[1].pieces, 5);
    CHECK(q->pieces[q->runs[1].first_piece + 4].iov_base == memory);
    CHECK_EQ(((uint8_t *)q->pieces[q->runs[2].first_piece].iov_base)[0], 2);
}

static void a_way_keeps_its_order_over_runs(void)
{
    struct sendq *q = new_queue();
    for (uint8_t i = 0; i < 10; i++) /* marked for congestion in turns */
        append(q, 1, i % 2, 100, 1);
    CHECK_EQ(q->run_count, 10);
    for (uint8_t i = 0; i < 10; i++)
        CHECK_EQ(q->runs[i].way.tos, i % 2);
}

static void without_segmentation_each_datagram_is_a_run(void)
{
    struct sendq *q = new_queue();
    q->max_datagrams = 1;
    append(q, 1, 0, 100, 1);
    append(q, 1, 0, 100, 1);
    CHECK_EQ(q->run_count, 2);
}

static void runs_end_at_the_kernels_limits(void)
{
    struct sendq *q = new_queue();
    for (int i = 0; i < RUN_DATAGRAMS + 1; i++)
        append(q, 1, 0, 10, 1);
    CHECK_EQ(q->run_count, 2);
    CHECK_EQ(q->runs[0].datagrams, RUN_DATAGRAMS);
    q = new_queue();
    for (int i = 0; i < 60; i++)
        append(q, 1, 0, 1450, 1);
    CHECK_EQ(q->run_count, 2);
    CHECK_EQ(q->runs[0].datagrams, 44);
    CHECK(q->runs[0].bytes <= RUN_BYTES);
    q = new_queue();
    append(q, 1, 0, 65507, 1); /* one datagram may be larger than a run */
    append(q, 1, 0, 1, 1);
    CHECK_EQ(q->run_count, 2);
}

static void packets_are_counted_where_they_begin(void)
{
    struct sendq *q = new_queue();
    for (int i = 0; i < 100; i++) /* a super-packet, then three plain packets */
        append(q, 1, 0, 1450, i == 0);
    for (int i = 0; i < 3; i++)
        append(q, 1, 0, 1450, 1);
    append(q, 1, 0, 1450, 0); /* belongs to the last one */
    CHECK_EQ(q->run_count, 3);
    CHECK_EQ(q->runs[0].packets, 1);
    CHECK_EQ(q->runs[0].continued, 0);
    CHECK_EQ(q->runs[1].packets, 0);
    CHECK_EQ(q->runs[1].continued, 44);
    CHECK_EQ(q->runs[2].packets, 3);
    CHECK_EQ(q->runs[2].continued, 12);
    CHECK_EQ(q->runs[2].datagrams, 16);
}

static void scratch_is_used_up_by_appending(void)
{
    struct sendq *q = new_queue();
    uint8_t *first = sendq_reserve(q, 50);
    CHECK(first == sendq_reserve(q, 50)); /* nothing appended yet */
    sendq_append(q, (struct way){.peer = 1}, 1, first, 50, memory, 100);
    CHECK(sendq_reserve(q, 50) == first + 50);
    append(q, 1, 0, 150, 1); /* not in scratch memory */
    CHECK(sendq_reserve(q, 50) == first + 50);
    CHECK_EQ(q->piece_count, 3);
    CHECK(q->pieces[0].iov_base == first && q->pieces[0].iov_len == 50);
    CHECK(q->pieces[1].iov_base == memory && q->pieces[1].iov_len == 100);
}

static void full_queues_are_flushed(void)
{
    struct sendq *q = new_queue();
    for (uint32_t i = 0; i < SENDQ_RUNS; i++)
        append(q, i, 0, 100, 1);
    CHECK_EQ(memory[0], 0);
    append(q, 0, 0, 100, 1);
    CHECK_EQ(memory[0], 1);
    CHECK_EQ(q->run_count, 1);

    q = new_queue();
    for (int i = 0; i < SENDQ_PIECES / 2; i++) {
        uint8_t *headers = sendq_reserve(q, 10);
        sendq_append(q, (struct way){.peer = 1}, 1, headers, 10, memory, 10);
    }
    CHECK_EQ(memory[0], 0);
    CHECK_EQ(q->piece_count, SENDQ_PIECES);
    sendq_reserve(q, 10);
    CHECK_EQ(memory[0], 1);

    q = new_queue();
    for (size_t used = 0; used + 250 <= SENDQ_SCRATCH; used += 250) {
        uint8_t *headers = sendq_reserve(q, 250);
        sendq_append(q, (struct way){.peer = 1}, 1, headers, 250, NULL, 0);
    }
    CHECK_EQ(memory[0], 0);
    CHECK(sendq_reserve(q, 250) == q->scratch);
    CHECK_EQ(memory[0], 1);
}

const struct test sendq_tests[] = {
    {"equal sizes make one run", equal_sizes_make_one_run},
    {"a shorter datagram ends the run", a_shorter_datagram_ends_the_run},
    {"longer ones, other peers and other TOS start another run",
     longer_ones_other_peers_and_other_tos_start_another},
    {"ways that take turns have a run each", ways_that_take_turns_have_a_run_each},
    {"a way goes on after its run was arranged", a_way_goes_on_after_its_run_was_arranged},
    {"a way keeps its order over runs", a_way_keeps_its_order_over_runs},
    {"without segmentation each datagram is a run", without_segmentation_each_datagram_is_a_run},
    {"runs end at the kernel's limits", runs_end_at_the_kernels_limits},
    {"packets are counted where they begin", packets_are_counted_where_they_begin},
    {"scratch memory is used up by appending", scratch_is_used_up_by_appending},
    {"full queues are flushed, whatever they are full of", full_queues_are_flushed},
    {NULL, NULL},
};
