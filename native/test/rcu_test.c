/* Covers io/rcu: tables live as long as a worker may see them and no longer, alone and under
 * running threads. */
#include "../io/rcu.h"

#include <pthread.h>

#include "bed.h"

enum { GENERATIONS = 10000, READERS = 3 };

static void tables_outlive_the_section_that_saw_them(void)
{
    struct rcu rcu = {.workers = 2};
    struct tables *first = bed_tables(1, NULL), *second = bed_tables(2, first);
    CHECK(rcu_enter(&rcu, 0) == NULL);
    CHECK_EQ(rcu_publish(&rcu, first), 0);
    rcu_leave(&rcu, 0);
    rcu_reclaim(&rcu);
    CHECK(rcu.retired == NULL);

    const struct tables *seen = rcu_enter(&rcu, 0);
    CHECK(seen == first);
    CHECK_EQ(rcu_publish(&rcu, second), 0);
    CHECK(rcu_enter(&rcu, 1) == second);
    rcu_leave(&rcu, 1);
    rcu_reclaim(&rcu);
    CHECK(rcu.retired != NULL);
    CHECK_EQ(seen->generation, 1); /* the sanitizer looks here */
    rcu_leave(&rcu, 0);
    CHECK(rcu_enter(&rcu, 0) == second); /* in a section again, but a later one */
    rcu_reclaim(&rcu);
    CHECK(rcu.retired == NULL);
    rcu_leave(&rcu, 0);
    rcu_destroy(&rcu);
}

static void statistics_pass_through_tables_still_in_use(void)
{
    struct rcu rcu = {.workers = 1};
    struct tables *t = NULL;
    for (uint32_t generation = 1; generation <= 5; generation++) {
        t = bed_tables(generation, t);
        CHECK_EQ(rcu_publish(&rcu, t), 0);
        if (generation == 1)
            rcu_enter(&rcu, 0)->peers[2].state->stats->rx_packets = 9;
    }
    CHECK(rcu.retired != NULL);
    CHECK_EQ(t->peers[2].state->stats->rx_packets, 9);
    rcu_destroy(&rcu); /* with the retired ones */
}

struct reader {
    struct rcu *rcu;
    unsigned worker;
    pthread_t thread;
    uint64_t errors;
    _Atomic uint64_t rounds;
};
static _Atomic bool stop;

/* Everything a worker touches must be of one generation and alive. */
static uint64_t count_errors(const struct tables *t, unsigned worker)
{
    uint64_t errors = t->self.vni != t->generation;
    for (uint32_t i = 0; i < t->peer_count; i++) {
        const struct peer *peer = tables_peer(t, t->peers[i].address);
        errors += peer != &t->peers[i] || peer->node != t->generation;
        counter_bump(&peer->state->stats[worker].tx_packets, 1);
    }
    const uint8_t address[4] = {10, 0, 0, 1};
    errors += fib_lookup(t->fib, 4, address) >= t->peer_count;
    return errors;
}

static void *read_until_stopped(void *argument)
{
    struct reader *r = argument;
    while (!stop) {
        const struct tables *t = rcu_enter(r->rcu, r->worker);
        if (t != NULL) {
            r->errors += count_errors(t, r->worker);
            r->rounds++;
        }
        rcu_leave(r->rcu, r->worker);
    }
    return NULL;
}

/* One to four peers that come and go; everything names its generation. */
static struct tables *generation_tables(uint32_t generation, const struct tables *previous)
{
    struct self_row self = {.vni = generation};
    struct peer_row peers[4];
    struct route_row route = {.prefix = {10}, .family = 4, .length = 8};
    uint32_t n = 1 + random_below(4), first = random_below(8);
    for (uint32_t i = 0; i < n; i++)
        peers[i] =
            (struct peer_row){.address = {[15] = (uint8_t)((first + i) % 8)}, .node = generation};
    route.peer = n - 1;
    return tables_build(generation, (const uint8_t *)&self, sizeof self, (const uint8_t *)peers,
                        n * sizeof peers[0], (const uint8_t *)&route, sizeof route, previous,
                        READERS);
}

static void readers_run_through_ten_thousand_generations(void)
{
    struct rcu rcu = {.workers = READERS};
    struct reader readers[READERS];
    stop = false;
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.rcu = &rcu, .worker = i};
        CHECK_EQ(pthread_create(&readers[i].thread, NULL, read_until_stopped, &readers[i]), 0);
    }
    for (uint32_t generation = 1; generation <= GENERATIONS; generation++)
        CHECK_EQ(rcu_publish(&rcu, generation_tables(generation, rcu.current)), 0);
    /* On a busy machine the readers may only now get their turn. */
    for (unsigned i = 0; i < READERS; i++)
        while (readers[i].rounds == 0)
            sched_yield();
    stop = true;
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        CHECK_EQ(readers[i].errors, 0);
    }
    rcu_reclaim(&rcu);
    CHECK(rcu.retired == NULL);
    CHECK_EQ(rcu.current->generation, GENERATIONS);
    rcu_destroy(&rcu);
}

const struct test rcu_tests[] = {
    {"tables outlive the section that saw them, no more", tables_outlive_the_section_that_saw_them},
    {"statistics pass through tables still in use", statistics_pass_through_tables_still_in_use},
    {"readers run through ten thousand generations", readers_run_through_ten_thousand_generations},
    {NULL, NULL},
};
