/*
 * Counters of one worker. Written by that worker only, read by the control side at any time: plain relaxed atomics,
 * no locks, no shared cache line between workers. Lives as long as the engine.
 */
#ifndef WEFT_COUNTERS_H
#define WEFT_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum direction { DIRECTION_TX, DIRECTION_RX, DIRECTIONS };

/* The name of a reason is DROP_ and its name in the table: DROP_no_route. Zero means "not dropped". */
enum drop {
    DROP_NONE,
#define DROP(name, directions, sentence) DROP_##name,
#include "drop_reasons.def"
#undef DROP
    DROP_COUNT
};

enum counter {
#define COUNTER(id, name, direction, kind, sentence) COUNTER_##id,
#include "counters.def"
#undef COUNTER
    COUNTER_COUNT
};

struct counters {
    _Atomic uint64_t value[COUNTER_COUNT];
    _Atomic uint64_t drops[DIRECTIONS][DROP_COUNT];
} __attribute__((aligned(64)));

/* One row of the table as the control side sees it, drops included. */
struct counter_info {
    const char *name;
    const char *kind;
    const char *sentence;
    enum direction direction;
    size_t offset; /* of the value inside struct counters */
};

/* The table, in the order in which counters are reported. Writes its length to *count. Static memory. */
const struct counter_info *counters_table(size_t *count);

/* The name of a drop reason in the table. Static memory. */
const char *drop_name(enum drop reason);

/* Adds to a value of which the calling thread is the only writer. */
static inline void counter_bump(_Atomic uint64_t *value, uint64_t n)
{
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void count(struct counters *c, enum counter which, uint64_t n)
{
    counter_bump(&c->value[which], n);
}

static inline void count_drops(struct counters *c, enum direction direction, enum drop reason,
                               uint64_t n)
{
    counter_bump(&c->drops[direction][reason], n);
}

#endif
