/*
 * Publishing tables to running workers without locks. The control side swaps one pointer; a worker loads it once per
 * round, inside a section; old tables are freed when every worker has been outside a section since the swap. A worker
 * that sleeps in epoll is outside and holds up nothing.
 */
#ifndef WEFT_RCU_H
#define WEFT_RCU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../core/tables.h"

enum { WORKERS_MAX = 16 };

/* Odd while the worker is inside a section. One cache line each. */
struct rcu_section {
    _Atomic uint64_t epoch;
} __attribute__((aligned(64)));

struct rcu {
    _Atomic(struct tables *) current;
    struct rcu_section sections[WORKERS_MAX];
    unsigned workers;
    struct retired *retired; /* oldest first */
};

/* Worker side: the tables to use until rcu_leave; null before the first. */
const struct tables *rcu_enter(struct rcu *rcu, unsigned worker);
void rcu_leave(struct rcu *rcu, unsigned worker);

/*
 * For other things that workers find by a pointer and use inside their sections only: once rcu_passed is true of the
 * moment that rcu_now noted, which must be after the pointer was changed, no worker can have the old value any more.
 */
struct rcu_moment {
    uint64_t epochs[WORKERS_MAX];
};
void rcu_now(const struct rcu *rcu, struct rcu_moment *moment);
bool rcu_passed(const struct rcu *rcu, const struct rcu_moment *moment);

/* Control side, one thread: publishes tables and frees what can be freed by now. 0 or ENOMEM (nothing changed). */
int rcu_publish(struct rcu *rcu, struct tables *tables);
/* Control side: frees what no worker can see any more. Never waits. */
void rcu_reclaim(struct rcu *rcu);
/* Frees everything; no worker runs any more. */
void rcu_destroy(struct rcu *rcu);

#endif
