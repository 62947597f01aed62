/* Rows from the control plane → checked, indexed, immutable tables. Runs on the control side only. */
#include "tables.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static uint32_t hash_address(const uint8_t address[16])
{
    uint64_t a, b;
    memcpy(&a, address, 8);
    memcpy(&b, address + 8, 8);
    uint64_t h = (a ^ (b * 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu;
    return (uint32_t)(h >> 32);
}

/* The bucket where an address is, or would be put. */
static uint32_t *find_bucket(const struct tables *t, const uint8_t address[16])
{
    uint32_t i = hash_address(address) & t->bucket_mask;
    while (t->buckets[i] != 0 && memcmp(t->peers[t->buckets[i] - 1].address, address, 16) != 0)
        i = (i + 1) & t->bucket_mask;
    return &t->buckets[i];
}

struct peer *tables_peer(const struct tables *t, const uint8_t address[16])
{
    uint32_t number = *find_bucket(t, address);
    return number == 0 ? NULL : &t->peers[number - 1];
}

static int add_peers(struct tables *t, const uint8_t *rows, uint32_t n,
                     const struct tables *previous)
{
    uint32_t buckets = 8;
    while (buckets < 2 * n)
        buckets *= 2;
    t->bucket_mask = buckets - 1;
    t->buckets = calloc(buckets, sizeof *t->buckets);
    t->peers = calloc(n + 1u, sizeof *t->peers);
    if (t->buckets == NULL || t->peers == NULL)
        return ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        struct peer_row row;
        memcpy(&row, rows + i * sizeof row, sizeof row);
        uint32_t *bucket = find_bucket(t, row.address);
        if (*bucket != 0)
            return EINVAL;
        struct peer *peer = &t->peers[i];
        memcpy(peer->address, row.address, sizeof peer->address);
        memcpy(peer->mac, row.mac, sizeof peer->mac);
        peer->node = row.node;
        const struct peer *before = previous == NULL ? NULL : tables_peer(previous, row.address);
        peer->stats = before != NULL ? before->stats : calloc(t->workers, sizeof *peer->stats);
        t->peer_count = i + 1;
        *bucket = i + 1;
        if (peer->stats == NULL)
            return ENOMEM;
    }
    return 0;
}

static int add_routes(struct tables *t, const uint8_t *rows, size_t n)
{
    struct fib_route *routes = calloc(n + 1, sizeof *routes);
    if (routes == NULL)
        return ENOMEM;
    int error = 0;
    for (size_t i = 0; i < n && error == 0; i++) {
        struct route_row row;
        memcpy(&row, rows + i * sizeof row, sizeof row);
        if (row.peer != ROUTE_LOCAL && row.peer >= t->peer_count)
            error = EINVAL;
        memcpy(routes[i].prefix, row.prefix, sizeof row.prefix);
        routes[i].family = row.family;
        routes[i].length = row.length;
        routes[i].result = row.peer == ROUTE_LOCAL ? FIB_LOCAL : row.peer;
    }
    if (error == 0) {
        t->fib = fib_build(routes, n);
        error = t->fib == NULL ? errno : 0;
    }
    free(routes);
    return error;
}

struct tables *tables_build(uint32_t generation, const uint8_t *self, size_t self_len,
                            const uint8_t *peers, size_t peers_len, const uint8_t *routes,
                            size_t routes_len, const struct tables *previous, uint32_t workers)
{
    if (self_len != sizeof(struct self_row) || peers_len % sizeof(struct peer_row) != 0 ||
        routes_len % sizeof(struct route_row) != 0 ||
        peers_len / sizeof(struct peer_row) >= FIB_LOCAL / 4) {
        errno = EINVAL;
        return NULL;
    }
    struct tables *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->generation = generation;
    t->workers = workers;
    memcpy(&t->self, self, sizeof t->self);
    int error = add_peers(t, peers, (uint32_t)(peers_len / sizeof(struct peer_row)), previous);
    if (error == 0)
        error = add_routes(t, routes, routes_len / sizeof(struct route_row));
    if (error == 0)
        return t;
    tables_free(t, previous);
    errno = error;
    return NULL;
}

void tables_free(struct tables *t, const struct tables *successor)
{
    if (t == NULL)
        return;
    for (uint32_t i = 0; i < t->peer_count; i++)
        if (successor == NULL || tables_peer(successor, t->peers[i].address) == NULL)
            free(t->peers[i].stats);
    fib_free(t->fib);
    free(t->buckets);
    free(t->peers);
    free(t);
}
