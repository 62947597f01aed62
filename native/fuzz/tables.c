/*
 * Rows as the control plane would send them, right or wrong → tables, and others built behind them: a row's peer is
 * found by its address, its state goes with it, and whatever is freed is freed once.
 *
 * File: per generation lengths of the three kinds of rows, then their bytes.
 */
#include "fuzz.h"

#include <errno.h>

enum { GENERATIONS = 6 };

static struct bytes take_rows(struct input *in, size_t row, uint8_t shape)
{
    size_t len = (shape & 15) * row + (shape >> 7);
    struct bytes rows = {owned(len), len};
    take_bytes(in, rows.data, len);
    return rows;
}

/* Brings what a file holds into the range where rows are right more often than not. */
static void tame(struct bytes peers, struct bytes routes)
{
    for (size_t at = 0; at + sizeof(struct peer_row) <= peers.len; at += sizeof(struct peer_row))
        memset(peers.data + at, 0, 15);
    uint32_t count = (uint32_t)(peers.len / sizeof(struct peer_row));
    for (size_t at = 0; at + sizeof(struct route_row) <= routes.len;
         at += sizeof(struct route_row)) {
        struct route_row row;
        memcpy(&row, routes.data + at, sizeof row);
        row.peer = count == 0 || row.peer % 16 == 15 ? ROUTE_LOCAL : row.peer % (count + 1);
        row.family = row.family & 1 ? 6 : 4;
        row.length = (uint8_t)(row.length % (row.family == 6 ? 130 : 34));
        memcpy(routes.data + at, &row, sizeof row);
    }
}

static void check_peers(const struct tables *t, const struct tables *previous)
{
    for (uint32_t i = 0; i < t->peer_count; i++) {
        const struct peer *peer = &t->peers[i];
        CHECK(tables_peer(t, peer->address) == peer);
        counter_bump(&peer->state->stats[0].errors, 1);
        const struct peer *before = previous == NULL ? NULL : tables_peer(previous, peer->address);
        CHECK((before != NULL && before->state == peer->state) ||
              peer->state->stats[0].errors == 1);
    }
}

void fuzz_tables(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct tables *current = NULL;
    for (uint32_t generation = 0; generation < GENERATIONS && in.left > 0; generation++) {
        uint8_t shape = take8(&in);
        struct bytes peers = take_rows(&in, sizeof(struct peer_row), take8(&in));
        struct bytes routes = take_rows(&in, sizeof(struct route_row), take8(&in));
        size_t self_len = sizeof(struct self_row) - (shape >> 7);
        uint8_t *self = owned(self_len), unknown[16];
        take_bytes(&in, self, self_len < 24 ? self_len : 24);
        if (!(shape & 64))
            tame(peers, routes);
        struct tables *next = tables_build(generation, self, self_len, peers.data, peers.len,
                                           routes.data, routes.len, current, 1);
        if (next == NULL) {
            CHECK_EQ(errno, EINVAL);
            continue;
        }
        CHECK_EQ(next->peer_count, peers.len / sizeof(struct peer_row));
        check_peers(next, current);
        memset(unknown, 0xee, sizeof unknown);
        CHECK(tables_peer(next, unknown) == NULL || (shape & 64));
        tables_free(current, next);
        current = next;
    }
    tables_free(current, NULL);
}
