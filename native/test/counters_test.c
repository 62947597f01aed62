/* Covers core/counters: the table is complete; and, run last, that the other tests have seen every
 * drop there is. */
#include "../core/counters.h"

#include <stdio.h>

#include "bed.h"

static void rows_are_distinct_and_inside(void)
{
    size_t n;
    const struct counter_info *table = counters_table(&n);
    CHECK(n > COUNTER_COUNT);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(table[i].offset % sizeof(uint64_t), 0);
        CHECK(table[i].offset + sizeof(uint64_t) <= sizeof(struct counters));
        for (size_t j = 0; j < i; j++) {
            CHECK(table[i].offset != table[j].offset);
            CHECK(table[i].direction != table[j].direction || table[i].kind != table[j].kind ||
                  strcmp(table[i].name, table[j].name) != 0);
        }
    }
}

static void what_is_counted_shows_in_its_row(void)
{
    struct bed *b = bed_new(FORMAT_UDP);
    struct sample s = SAMPLE(.dst = "10.42.1.9");
    struct packet p = plain_packet(&s);
    CHECK_EQ(bed_tx(b, &p), DROP_own_subnet);
    size_t n, changed = 0;
    const struct counter_info *table = counters_table(&n);
    for (size_t i = 0; i < n; i++) {
        uint64_t value;
        memcpy(&value, (const uint8_t *)&b->counters + table[i].offset, sizeof value);
        if (value == 0)
            continue;
        changed++;
        CHECK_EQ(table[i].direction, DIRECTION_TX);
        CHECK(strcmp(table[i].name, "own_subnet") == 0 || strcmp(table[i].name, "packets") == 0 ||
              strcmp(table[i].name, "icmp_errors") == 0);
    }
    CHECK_EQ(changed, 3);
    bed_free(b);
}

static void a_drops_name_is_that_of_its_row(void)
{
    size_t n;
    const struct counter_info *table = counters_table(&n);
    CHECK(strcmp(drop_name(DROP_NONE), "none") == 0);
    for (size_t i = 0; i < n; i++) {
        size_t index = (table[i].offset - offsetof(struct counters, drops)) / sizeof(uint64_t);
        if (strcmp(table[i].kind, "drop") == 0)
            CHECK(strcmp(drop_name((enum drop)(index % DROP_COUNT)), table[i].name) == 0);
    }
}

/* What only io/ can find out. */
static bool found_by_io(const char *name)
{
    static const char *const names[] = {"send_queue_full", "send_failed", "oversize", "tun_write"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void every_drop_was_seen(void)
{
    size_t n;
    const struct counter_info *table = counters_table(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].kind, "drop") != 0)
            continue;
        size_t index = (table[i].offset - offsetof(struct counters, drops)) / sizeof(uint64_t);
        bool seen = bed_drops_seen[index / DROP_COUNT][index % DROP_COUNT] > 0;
        if (!CHECK_EQ(seen, !found_by_io(table[i].name)))
            printf("# %s %s\n", table[i].direction == DIRECTION_TX ? "tx" : "rx", table[i].name);
    }
}

const struct test counters_tests[] = {
    {"rows of the table are distinct", rows_are_distinct_and_inside},
    {"what is counted shows in its row", what_is_counted_shows_in_its_row},
    {"a drop's name is that of its row", a_drops_name_is_that_of_its_row},
    {"every drop that core can find was seen, in every direction", every_drop_was_seen},
    {NULL, NULL},
};
