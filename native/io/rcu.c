/* Epoch-based reclamation of tables. */
#include "rcu.h"

#include <errno.h>
#include <stdlib.h>

struct retired {
    struct retired *next;
    struct tables *tables;
    const struct tables *successor; /* freed later than `tables`, because the list is in order */
    struct rcu_moment swap;
};

const struct tables *rcu_enter(struct rcu *rcu, unsigned worker)
{
    /* Sequentially consistent: the odd epoch is visible before the pointer is loaded. */
    atomic_fetch_add(&rcu->sections[worker].epoch, 1);
    return atomic_load(&rcu->current);
}

void rcu_leave(struct rcu *rcu, unsigned worker)
{
    atomic_fetch_add_explicit(&rcu->sections[worker].epoch, 1, memory_order_release);
}

void rcu_now(const struct rcu *rcu, struct rcu_moment *moment)
{
    for (unsigned i = 0; i < rcu->workers; i++)
        moment->epochs[i] = atomic_load(&rcu->sections[i].epoch);
}

bool rcu_passed(const struct rcu *rcu, const struct rcu_moment *moment)
{
    for (unsigned i = 0; i < rcu->workers; i++)
        if ((moment->epochs[i] & 1) && atomic_load(&rcu->sections[i].epoch) == moment->epochs[i])
            return false;
    return true;
}

int rcu_publish(struct rcu *rcu, struct tables *tables)
{
    struct retired *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ENOMEM;
    r->tables = atomic_exchange(&rcu->current, tables);
    r->successor = tables;
    rcu_now(rcu, &r->swap);
    struct retired **end = &rcu->retired;
    while (*end != NULL)
        end = &(*end)->next;
    *end = r;
    rcu_reclaim(rcu);
    return 0;
}

static void free_oldest(struct rcu *rcu)
{
    struct retired *r = rcu->retired;
    rcu->retired = r->next;
    tables_free(r->tables, r->successor);
    free(r);
}

void rcu_reclaim(struct rcu *rcu)
{
    while (rcu->retired != NULL && rcu_passed(rcu, &rcu->retired->swap))
        free_oldest(rcu);
}

void rcu_destroy(struct rcu *rcu)
{
    while (rcu->retired != NULL)
        free_oldest(rcu);
    tables_free(atomic_exchange(&rcu->current, NULL), NULL);
}
