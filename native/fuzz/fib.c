/*
 * Routes → fib_build → lookups, and a linear search over the same routes.
 *
 * File: number of routes, routes (family and length, result, prefix), then addresses to look up. Prefixes and
 * addresses share leading bytes with the one before, so that they meet in the trie.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>

enum { ROUTES = 64 };

/* Keeps the first bytes of what `address` held and replaces some behind them. */
static void vary(struct input *in, uint8_t address[16])
{
    uint8_t shape = take8(in);
    size_t at = shape & 15, n = (shape >> 4) + 1u;
    take_bytes(in, address + at, at + n > 16 ? 16 - at : n);
}

static bool valid(const struct fib_route *r)
{
    return (r->family == 4 && r->length <= 32) || (r->family == 6 && r->length <= 128);
}

static bool covers(const struct fib_route *r, uint8_t family, const uint8_t *address)
{
    if (r->family != family)
        return false;
    for (unsigned bit = 0; bit < r->length; bit++)
        if (((r->prefix[bit / 8] ^ address[bit / 8]) >> (7 - bit % 8)) & 1)
            return false;
    return true;
}

/* The result of the longest route that covers the address, of several the largest. */
static uint32_t model_lookup(const struct fib_route *routes, size_t n, uint8_t family,
                             const uint8_t *address)
{
    const struct fib_route *best = NULL;
    for (size_t i = 0; i < n; i++)
        if (covers(&routes[i], family, address) &&
            (best == NULL || routes[i].length > best->length ||
             (routes[i].length == best->length && routes[i].result > best->result)))
            best = &routes[i];
    return best == NULL ? FIB_NONE : best->result;
}

void fuzz_fib(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    size_t n = take8(&in) % (ROUTES + 1);
    struct fib_route *routes = owned((n + 1) * sizeof *routes);
    uint8_t address[16] = {10, 42};
    bool all_valid = true;
    for (size_t i = 0; i < n; i++) {
        uint8_t kind = take8(&in);
        vary(&in, address);
        memcpy(routes[i].prefix, address, sizeof address);
        routes[i].family = kind & 1 ? 6 : 4;
        routes[i].length = kind >> 1 > 32 && !(kind & 1) ? take8(&in) : kind >> 1;
        routes[i].result = (uint32_t)i;
        all_valid = all_valid && valid(&routes[i]);
    }
    struct fib *fib = fib_build(routes, n);
    CHECK(all_valid == (fib != NULL));
    CHECK(fib != NULL || errno == EINVAL);
    for (size_t i = 0; fib != NULL && (i < n || in.left > 0); i++) {
        if (i < n)
            memcpy(address, routes[i].prefix, sizeof address);
        else
            vary(&in, address);
        CHECK_EQ(fib_lookup(fib, 4, address), model_lookup(routes, n, 4, address));
        CHECK_EQ(fib_lookup(fib, 6, address), model_lookup(routes, n, 6, address));
    }
    fib_free(fib);
}
