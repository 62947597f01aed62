/* Rows from the control plane → checked, indexed, immutable tables. Runs on the control side only. */
#include "tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ip.h"

/*
 * Every bit of the address moves every bit of the hash. A product carries bits upwards only, and those of an IPv4
 * address are the uppermost: hence the shift between two products.
 */
static uint32_t hash_address(const uint8_t address[16])
{
    uint64_t a, b;
    memcpy(&a, address, 8);
    memcpy(&b, address + 8, 8);
    uint64_t h = a * 0x9e3779b97f4a7c15u ^ b;
    h = (h ^ h >> 32) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 32) * 0xc4ceb9fe1a85ec53u;
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

struct peer *tables_peer_at(const struct tables *t, int family, const uint8_t *address)
{
    uint8_t mapped[16];
    ip_map(family, address, mapped);
    return tables_peer(t, mapped);
}

bool self_has_address(const struct self_row *self, int family, const uint8_t *address)
{
    static const uint8_t absent[16];
    size_t size = ip_address_size(family);
    const uint8_t *own = family == 4 ? self->address4 : self->address6;
    const uint8_t *gateway = family == 4 ? self->gateway4 : self->gateway6;
    return memcmp(address, absent, size) != 0 &&
           (memcmp(address, own, size) == 0 || memcmp(address, gateway, size) == 0);
}

bool tables_is_source(const struct tables *t, int family, const uint8_t *address)
{
    const uint8_t *own = family == 4 ? t->self.source4 : t->self.source6;
    return memcmp(address, own, ip_address_size(family)) == 0;
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
        peer->flags = row.flags;
        const struct peer *before = previous == NULL ? NULL : tables_peer(previous, row.address);
        peer->state =
            before != NULL
                ? before->state
                : calloc(1, sizeof *peer->state + t->workers * sizeof *peer->state->stats);
        t->peer_count = i + 1;
        *bucket = i + 1;
        if (peer->state == NULL)
            return ENOMEM;
    }
    return 0;
}

/* A route for one address alone. */
static struct fib_route host_route(int family, const uint8_t *address, uint32_t result)
{
    struct fib_route route = {
        .family = (uint8_t)family,
        .length = (uint8_t)(8 * ip_address_size(family)),
        .result = result,
    };
    memcpy(route.prefix, address, ip_address_size(family));
    return route;
}

/* The rows' routes, and the broadcast addresses of own subnets (RFC 919 7). Returns how many, or 0 for a bad row. */
static size_t list_routes(const struct tables *t, const uint8_t *rows, size_t n,
                          struct fib_route *routes)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        struct route_row row;
        memcpy(&row, rows + i * sizeof row, sizeof row);
        bool local = row.peer == ROUTE_LOCAL;
        if (!local && row.peer >= t->peer_count)
            return 0;
        struct fib_route *route = &routes[used++];
        memcpy(route->prefix, row.prefix, sizeof row.prefix);
        route->family = row.family;
        route->length = row.length;
        route->result = local ? FIB_LOCAL : row.peer;
        if (local && row.family == 4 && row.length <= 30) {
            uint8_t broadcast[4];
            put32(broadcast, get32(row.prefix) | 0xffffffffu >> row.length);
            routes[used++] = host_route(4, broadcast, FIB_BROADCAST);
        }
    }
    return used;
}

/* Adds a route for an underlay address that a lease covers. Returns how many that makes. */
static size_t list_endpoint(const struct tables *t, int family, const uint8_t *address,
                            struct fib_route *route)
{
    if (fib_lookup(t->fib, family, address) == FIB_NONE)
        return 0;
    *route = host_route(family, address, FIB_ENDPOINT);
    return 1;
}

static size_t list_endpoints(const struct tables *t, struct fib_route *routes)
{
    size_t used = list_endpoint(t, 4, t->self.source4, routes);
    used += list_endpoint(t, 6, t->self.source6, routes + used);
    for (uint32_t i = 0; i < t->peer_count; i++) {
        const uint8_t *address = t->peers[i].address;
        bool ipv4 = ip_is_mapped(address);
        used += list_endpoint(t, ipv4 ? 4 : 6, ipv4 ? address + 12 : address, routes + used);
    }
    return used;
}

/*
 * Endpoints are looked for only where nothing is leased, off the fast path. One that a lease covers, which is rare,
 * gets a route of its own, so that it is found first.
 */
static int add_routes(struct tables *t, const uint8_t *rows, size_t n)
{
    struct fib_route *routes = calloc(2 * n + t->peer_count + 2, sizeof *routes);
    if (routes == NULL)
        return ENOMEM;
    size_t used = list_routes(t, rows, n, routes);
    t->fib = used == 0 && n > 0 ? NULL : fib_build(routes, used);
    int error = used == 0 && n > 0 ? EINVAL : errno;
    if (t->fib != NULL) {
        size_t endpoints = list_endpoints(t, routes + used);
        if (endpoints > 0) {
            fib_free(t->fib);
            t->fib = fib_build(routes, used + endpoints);
            error = errno;
        }
    }
    free(routes);
    return t->fib == NULL ? error : 0;
}

struct tables *tables_build(uint32_t generation, const uint8_t *self, size_t self_len,
                            const uint8_t *peers, size_t peers_len, const uint8_t *routes,
                            size_t routes_len, const struct tables *previous, uint32_t workers)
{
    if (self_len != sizeof(struct self_row) || peers_len % sizeof(struct peer_row) != 0 ||
        routes_len % sizeof(struct route_row) != 0 ||
        peers_len / sizeof(struct peer_row) >= FIB_ENDPOINT / 4) {
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
            free(t->peers[i].state);
    fib_free(t->fib);
    free(t->buckets);
    free(t->peers);
    free(t);
}
