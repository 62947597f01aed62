/* The table of counters and drop reasons, expanded from the two .def files. */
#include "counters.h"

#define TX 1u
#define RX 2u

#define VALUE_OFFSET(id) (offsetof(struct counters, value) + sizeof(uint64_t) * COUNTER_##id)
#define DROP_OFFSET(direction, name)                                                               \
    (offsetof(struct counters, drops) +                                                            \
     sizeof(uint64_t) * ((size_t)(direction)*DROP_COUNT + DROP_##name))

const struct counter_info *counters_table(size_t *count)
{
    static struct counter_info table[COUNTER_COUNT + DIRECTIONS * DROP_COUNT];
    static size_t used;
    if (used == 0) {
#define COUNTER(id, name, direction, kind, sentence)                                               \
    table[used++] =                                                                                \
        (struct counter_info){#name, kind, sentence, DIRECTION_##direction, VALUE_OFFSET(id)};
#include "counters.def"
#undef COUNTER
        for (enum direction d = DIRECTION_TX; d < DIRECTIONS; d++) {
#define DROP(name, directions, sentence)                                                           \
    if ((directions) & (1u << d))                                                                  \
        table[used++] = (struct counter_info){#name, "drop", sentence, d, DROP_OFFSET(d, name)};
#include "drop_reasons.def"
#undef DROP
        }
    }
    *count = used;
    return table;
}

const char *drop_name(enum drop reason)
{
    static const char *const names[DROP_COUNT] = {
        [DROP_NONE] = "none",
#define DROP(name, directions, sentence) [DROP_##name] = #name,
#include "drop_reasons.def"
#undef DROP
    };
    return names[reason];
}
