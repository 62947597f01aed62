/*
 * Covers core/fib.c, core/tables.c and io/rcu.c when memory runs out: whichever allocation fails, there is an error,
 * and nothing is lost, freed twice or left half done. The linker leads calloc and realloc here (see the Makefile).
 */
#include <errno.h>
#include <stdlib.h>

#include "../io/rcu.h"
#include "bed.h"

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);

/* How many allocations succeed before one fails; negative: all do. */
static int allowed = -1;

static bool fails(void)
{
    if (allowed < 0 || allowed-- > 0)
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

enum { ROUTES = 40, ATTEMPTS_MAX = 100 };

/* Long prefixes with nothing in common, so that the trie grows several times. */
static void scattered_routes(struct fib_route routes[ROUTES])
{
    for (uint32_t i = 0; i < ROUTES; i++) {
        routes[i] = (struct fib_route){.family = i % 2 ? 6 : 4, .length = 32, .result = i};
        random_bytes(routes[i].prefix, sizeof routes[i].prefix);
    }
}

static void a_fib_is_built_whole_or_not_at_all(void)
{
    struct fib_route routes[ROUTES];
    struct fib *fib = NULL;
    int failures = 0;
    scattered_routes(routes);
    for (; fib == NULL && failures < ATTEMPTS_MAX; failures += fib == NULL) {
        allowed = failures;
        errno = 0;
        fib = fib_build(routes, ROUTES);
        allowed = -1;
        CHECK(fib != NULL || errno == ENOMEM);
    }
    CHECK(failures > 5 && fib != NULL);
    for (size_t i = 0; fib != NULL && i < ROUTES; i++)
        CHECK_EQ(fib_lookup(fib, routes[i].family, routes[i].prefix), routes[i].result);
    fib_free(fib);
}

static void tables_are_built_whole_or_not_at_all(void)
{
    struct tables *previous = bed_tables(1, NULL), *next = NULL;
    int failures = 0;
    for (; next == NULL && failures < ATTEMPTS_MAX; failures += next == NULL) {
        allowed = failures;
        errno = 0;
        next = bed_tables(2, failures % 2 ? previous : NULL);
        allowed = -1;
        CHECK(next != NULL || errno == ENOMEM);
        CHECK_EQ(previous->peer_count, BED_PEERS);
    }
    CHECK(failures > 5 && next != NULL);
    if (next == NULL || next->peers[0].state != previous->peers[0].state) {
        tables_free(next, NULL);
        next = NULL;
    }
    tables_free(previous, next);
    tables_free(next, NULL);
}

static void tables_that_cannot_be_published_stay_the_callers(void)
{
    struct rcu *rcu = aligned_alloc(64, (sizeof *rcu + 63) / 64 * 64);
    struct tables *tables = bed_tables(1, NULL);
    memset(rcu, 0, sizeof *rcu);
    rcu->workers = 1;
    allowed = 0;
    CHECK_EQ(rcu_publish(rcu, tables), ENOMEM);
    allowed = -1;
    CHECK(rcu_enter(rcu, 0) == NULL);
    rcu_leave(rcu, 0);
    tables_free(tables, NULL);
    rcu_destroy(rcu);
    free(rcu);
}

const struct test memory_tests[] = {
    {"a FIB is built whole or not at all", a_fib_is_built_whole_or_not_at_all},
    {"tables are built whole or not at all", tables_are_built_whole_or_not_at_all},
    {"tables that cannot be published stay the caller's",
     tables_that_cannot_be_published_stay_the_callers},
    {NULL, NULL},
};
