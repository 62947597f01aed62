/* Covers core/fib: random tables against a linear scan over bits, the edges of prefix lengths, and
 * refusals. */
#include "../core/fib.h"

#include <errno.h>
#include <stdio.h>

#include "packets.h"

static bool bit(const uint8_t *address, unsigned i)
{
    return address[i / 8] >> (7 - i % 8) & 1;
}

static bool covers(const struct fib_route *r, int family, const uint8_t *address)
{
    if (r->family != family)
        return false;
    for (unsigned i = 0; i < r->length; i++)
        if (bit(r->prefix, i) != bit(address, i))
            return false;
    return true;
}

/* Whether `result` is what one of the longest covering prefixes says. */
static bool model_allows(const struct fib_route *routes, size_t n, int family,
                         const uint8_t *address, uint32_t result)
{
    int longest = -1;
    bool allowed = result == FIB_NONE;
    for (size_t i = 0; i < n; i++) {
        if (routes[i].length < longest || !covers(&routes[i], family, address))
            continue;
        allowed = (routes[i].length == longest && allowed) || routes[i].result == result;
        longest = routes[i].length;
    }
    return allowed;
}

/* A random prefix whose first `shared` bytes all routes have, sometimes close to one that is there
 * already. */
static void random_route(struct fib_route *routes, size_t i, uint8_t family, size_t shared)
{
    struct fib_route *r = &routes[i];
    unsigned bits = family == 4 ? 32 : 128;
    random_bytes(r->prefix, sizeof r->prefix);
    if (i > 0 && random_below(2) == 0)
        memcpy(r->prefix, routes[random_below((uint32_t)i)].prefix, 1 + random_below(16));
    memset(r->prefix, 0x0a, shared);
    r->family = family;
    r->length = (uint8_t)random_below(bits + 1);
    if (r->length < shared * 8 && random_below(4) != 0)
        r->length = (uint8_t)(shared * 8 + random_below(bits - (uint32_t)shared * 8 + 1));
    r->result = (uint32_t)i;
}

/* An address in or just outside some prefix. */
static void random_target(const struct fib_route *routes, size_t n, uint8_t *address)
{
    random_bytes(address, 16);
    if (n == 0 || random_below(8) == 0)
        return;
    const struct fib_route *r = &routes[random_below((uint32_t)n)];
    uint8_t noise[16];
    memcpy(noise, address, 16);
    memcpy(address, r->prefix, 16);
    if (r->length > 0 && random_below(2) == 0)
        address[(r->length - 1) / 8] ^= (uint8_t)(0x80 >> (r->length - 1) % 8);
    else if (r->length / 8 < 15)
        memcpy(address + r->length / 8 + 1, noise, 15u - r->length / 8);
}

static void random_tables_equal_a_linear_scan(void)
{
    enum { ROUNDS = 60, LOOKUPS = 2000, ROUTES_MAX = 800 };
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct fib_route *routes = owned(ROUTES_MAX * sizeof *routes);
        size_t n = random_below(round % 5 == 0 ? 4 : ROUTES_MAX);
        for (size_t i = 0; i < n; i++)
            random_route(routes, i, i % 2 == 0 ? 4 : 6, round % 4);
        struct fib *fib = fib_build(routes, n);
        if (!CHECK(fib != NULL))
            return;
        for (int i = 0; i < LOOKUPS; i++) {
            uint8_t address[16];
            int family = random_below(2) ? 4 : 6;
            random_target(routes, n, address);
            /* Exactly as many bytes as the family has. */
            uint8_t exact4[4];
            memcpy(exact4, address, 4);
            uint32_t found = fib_lookup(fib, family, family == 4 ? exact4 : address);
            CHECK(model_allows(routes, n, family, address, found));
        }
        fib_free(fib);
    }
}

static struct fib_route route(const char *prefix, uint8_t length, uint32_t result)
{
    struct fib_route r = {
        .family = strchr(prefix, ':') != NULL ? 6 : 4, .length = length, .result = result};
    parse_address(prefix, r.prefix);
    return r;
}

static uint32_t find(const struct fib *fib, const char *text)
{
    uint8_t address[16];
    parse_address(text, address);
    return fib_lookup(fib, strchr(text, ':') != NULL ? 6 : 4, address);
}

static void prefixes_of_every_length_nest(void)
{
    struct fib_route routes[33 + 129];
    for (unsigned length = 0; length <= 128; length++)
        routes[length] = route("2001:db8:5555:aaaa:0f0f:f0f0:3333:cccc", (uint8_t)length, length);
    for (unsigned length = 0; length <= 32; length++)
        routes[129 + length] = route("170.85.240.15", (uint8_t)length, length);
    struct fib *fib = fib_build(routes, 33 + 129);
    for (unsigned flipped = 0; flipped <= 128; flipped++) {
        uint8_t address[16];
        memcpy(address, routes[0].prefix, 16);
        if (flipped < 128)
            address[flipped / 8] ^= (uint8_t)(0x80 >> flipped % 8);
        CHECK_EQ(fib_lookup(fib, 6, address), flipped);
        memcpy(address, routes[129].prefix, 4);
        if (flipped < 32)
            address[flipped / 8] ^= (uint8_t)(0x80 >> flipped % 8);
        CHECK_EQ(fib_lookup(fib, 4, address), flipped < 32 ? flipped : 32);
    }
    fib_free(fib);
}

static void families_do_not_see_each_other(void)
{
    struct fib_route routes[] = {route("0.0.0.0", 0, 7)};
    struct fib *fib = fib_build(routes, 1);
    CHECK_EQ(find(fib, "192.0.2.1"), 7);
    CHECK_EQ(find(fib, "::"), FIB_NONE);
    fib_free(fib);
    fib = fib_build(NULL, 0);
    CHECK_EQ(find(fib, "0.0.0.0"), FIB_NONE);
    CHECK_EQ(find(fib, "::"), FIB_NONE);
    fib_free(fib);
}

static void host_bits_and_order_do_not_matter(void)
{
    struct fib_route routes[] = {route("10.42.2.99", 32, 3), route("10.42.2.77", 24, 2),
                                 route("10.42.255.255", 16, 1)};
    struct fib *fib = fib_build(routes, 3);
    CHECK_EQ(find(fib, "10.42.2.99"), 3);
    CHECK_EQ(find(fib, "10.42.2.98"), 2);
    CHECK_EQ(find(fib, "10.42.0.1"), 1);
    CHECK_EQ(find(fib, "10.43.0.1"), FIB_NONE);
    CHECK_EQ(find(fib, "11.42.0.1"), FIB_NONE);
    fib_free(fib);
}

static void thousands_of_subnets_are_found(void)
{
    enum { N = 20000 };
    struct fib_route *routes = owned(N * sizeof *routes);
    for (uint32_t i = 0; i < N; i++) {
        routes[i] = (struct fib_route){.family = 4, .length = 24, .result = i};
        put32(routes[i].prefix, 0x0a000000 + (i << 8));
    }
    struct fib *fib = fib_build(routes, N);
    for (uint32_t i = 0; i < N + 300; i++) {
        uint8_t address[4];
        put32(address, 0x0a000000 + (i << 8) + random_below(256));
        CHECK_EQ(fib_lookup(fib, 4, address), i < N ? i : FIB_NONE);
    }
    fib_free(fib);
}

static void bad_routes_are_refused(void)
{
    struct fib_route bad[] = {route("10.0.0.0", 33, 0), route("::", 129, 0),
                              route("10.0.0.0", 8, FIB_NONE), route("10.0.0.0", 8, 0x80000000)};
    struct fib_route family = route("10.0.0.0", 8, 0);
    family.family = 5;
    for (size_t i = 0; i <= 4; i++) {
        struct fib_route routes[] = {route("10.0.0.0", 8, 1), i < 4 ? bad[i] : family};
        errno = 0;
        CHECK(fib_build(routes, 2) == NULL);
        CHECK_EQ(errno, EINVAL);
    }
    fib_free(NULL);
}

const struct test fib_tests[] = {
    {"random tables of both families equal a linear scan", random_tables_equal_a_linear_scan},
    {"prefixes of every length nest, /0 to /32 and /128", prefixes_of_every_length_nest},
    {"families do not see each other", families_do_not_see_each_other},
    {"host bits and order do not matter", host_bits_and_order_do_not_matter},
    {"twenty thousand subnets are found", thousands_of_subnets_are_found},
    {"bad lengths, families and results are refused", bad_routes_are_refused},
    {NULL, NULL},
};
