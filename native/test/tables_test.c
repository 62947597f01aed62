/* Covers core/tables: rows that are refused, finding peers, and statistics that survive
 * generations. */
#include <errno.h>

#include "bed.h"

struct rows {
    struct self_row self;
    struct peer_row peers[BED_PEERS];
    struct route_row routes[BED_ROUTES];
    size_t self_len, peers_len, routes_len;
};

static struct rows good_rows(void)
{
    struct rows rows = {.self = bed_self(),
                        .self_len = sizeof rows.self,
                        .peers_len = sizeof rows.peers,
                        .routes_len = sizeof rows.routes};
    bed_peers(rows.peers);
    bed_routes(rows.routes);
    return rows;
}

/* Builds from copies of exactly the told size, at an odd address: rows need not be aligned. */
static struct tables *build(const struct rows *rows, const struct tables *previous)
{
    uint8_t *self = owned(rows->self_len + 1), *peers = owned(rows->peers_len + 1),
            *routes = owned(rows->routes_len + 1);
    memcpy(self + 1, &rows->self, rows->self_len);
    memcpy(peers + 1, rows->peers, rows->peers_len);
    memcpy(routes + 1, rows->routes, rows->routes_len);
    return tables_build(1, self + 1, rows->self_len, peers + 1, rows->peers_len, routes + 1,
                        rows->routes_len, previous, 2);
}

static void check_refused(const struct rows *rows)
{
    errno = 0;
    CHECK(build(rows, NULL) == NULL);
    CHECK_EQ(errno, EINVAL);
}

static void bad_rows_are_refused(void)
{
    struct rows rows = good_rows();
    rows.self_len--;
    check_refused(&rows);
    rows = good_rows();
    rows.peers_len--;
    check_refused(&rows);
    rows = good_rows();
    rows.routes_len--;
    check_refused(&rows);
    rows = good_rows();
    memcpy(rows.peers[2].address, rows.peers[0].address, 16); /* a duplicate */
    check_refused(&rows);
    rows = good_rows();
    rows.routes[2].peer = BED_PEERS;
    check_refused(&rows);
    rows.routes[2].peer = ROUTE_LOCAL - 1;
    check_refused(&rows);
    rows = good_rows();
    rows.routes[2].length = 33;
    check_refused(&rows);
    rows = good_rows();
    rows.routes[3].length = 129;
    check_refused(&rows);
    rows = good_rows();
    rows.routes[4].family = 0;
    check_refused(&rows);
}

static void no_rows_make_empty_tables(void)
{
    struct rows rows = good_rows();
    rows.peers_len = rows.routes_len = 0;
    struct tables *t = build(&rows, NULL);
    uint8_t address[16] = {0};
    CHECK_EQ(t->peer_count, 0);
    CHECK(tables_peer(t, address) == NULL);
    CHECK_EQ(fib_lookup(t->fib, 4, address), FIB_NONE);
    tables_free(t, NULL);
}

static void rows_are_taken_over(void)
{
    struct rows rows = good_rows();
    struct tables *t = build(&rows, NULL);
    CHECK_BYTES(&t->self, &rows.self, sizeof rows.self);
    CHECK_EQ(t->peer_count, BED_PEERS);
    for (uint32_t i = 0; i < BED_PEERS; i++) {
        CHECK(tables_peer(t, rows.peers[i].address) == &t->peers[i]);
        CHECK_BYTES(t->peers[i].mac, rows.peers[i].mac, MAC_SIZE);
        CHECK_EQ(t->peers[i].node, rows.peers[i].node);
    }
    for (size_t i = 0; i < BED_ROUTES; i++)
        CHECK_EQ(fib_lookup(t->fib, rows.routes[i].family, rows.routes[i].prefix),
                 i < 2 ? FIB_LOCAL : rows.routes[i].peer);
    tables_free(t, NULL);
}

static void thousands_of_peers_are_found_and_no_others(void)
{
    enum { N = 5000 };
    struct self_row self = bed_self();
    struct peer_row *rows = owned(N * sizeof *rows);
    for (uint32_t i = 0; i < N; i++) {
        rows[i] = (struct peer_row){.address = {[10] = 0xff, [11] = 0xff}, .node = i};
        put32(rows[i].address + 12, 0xc0000000 + 2 * i);
    }
    struct tables *t = tables_build(1, (const uint8_t *)&self, sizeof self, (const uint8_t *)rows,
                                    N * sizeof *rows, NULL, 0, NULL, 1);
    for (uint32_t i = 0; i < N; i++) {
        uint8_t address[16] = {[10] = 0xff, [11] = 0xff};
        put32(address + 12, 0xc0000000 + 2 * i);
        CHECK(tables_peer(t, address) == &t->peers[i]);
        address[15]++;
        CHECK(tables_peer(t, address) == NULL);
    }
    tables_free(t, NULL);
}

/* The longest row of full buckets among 10 000 peers whose addresses count up in one of their bytes and the next. */
static size_t longest_run(size_t byte, const uint8_t first[16])
{
    enum { N = 10000 };
    struct self_row self = bed_self();
    struct peer_row *rows = owned(N * sizeof *rows);
    for (uint32_t i = 0; i < N; i++) {
        rows[i] = (struct peer_row){.node = i};
        memcpy(rows[i].address, first, 16);
        rows[i].address[byte - 1] = (uint8_t)(i >> 8);
        rows[i].address[byte] = (uint8_t)i;
    }
    struct tables *t = tables_build(1, (const uint8_t *)&self, sizeof self, (const uint8_t *)rows,
                                    N * sizeof *rows, NULL, 0, NULL, 1);
    size_t longest = 0, run = 0;
    for (uint32_t i = 0; i <= t->bucket_mask; i++) {
        run = t->buckets[i] == 0 ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    tables_free(t, NULL);
    return longest;
}

static void peers_spread_whatever_part_of_their_addresses_differs(void)
{
    for (size_t byte = 13; byte < 16; byte++)
        CHECK(longest_run(byte, (uint8_t[16]){[10] = 0xff, [11] = 0xff, [12] = 198, 18}) < 64);
    for (size_t byte = 1; byte < 16; byte++)
        CHECK(longest_run(byte, (uint8_t[16]){0x20, 0x01, 0x0d, 0xb8}) < 64);
}

static void statistics_survive_as_long_as_the_peer(void)
{
    struct rows rows = good_rows();
    struct tables *first = build(&rows, NULL);
    first->peers[0].state->stats[1].tx_packets = 5;
    first->peers[2].state->stats[0].rx_packets = 7;

    rows.peers[0] = rows.peers[2]; /* peer 0 is gone, peer 2 moves up */
    rows.peers_len = 2 * sizeof rows.peers[0];
    rows.routes[4].peer = 0;
    struct tables *second = build(&rows, first);
    CHECK(second->peers[0].state == first->peers[2].state);
    tables_free(first, second);
    CHECK_EQ(second->peers[0].state->stats[0].rx_packets, 7);

    rows = good_rows(); /* peer 0 is back and starts anew */
    struct tables *third = build(&rows, second);
    tables_free(second, third);
    CHECK_EQ(third->peers[0].state->stats[1].tx_packets, 0);
    CHECK_EQ(third->peers[2].state->stats[0].rx_packets, 7);
    tables_free(third, NULL);
    tables_free(NULL, NULL);
}

static void failed_builds_leave_the_previous_tables_alone(void)
{
    struct rows rows = good_rows();
    struct tables *t = build(&rows, NULL);
    t->peers[1].state->stats[0].errors = 3;
    rows.peers[2].address[15]++; /* new peer, then a row that is refused */
    rows.routes[0].length = 200;
    CHECK(build(&rows, t) == NULL);
    CHECK_EQ(t->peers[1].state->stats[0].errors, 3);
    tables_free(t, NULL);
}

/* Rows as bed's, but that the first peer's underlay address lies in a leased subnet, and ours in our own. */
static void endpoints_inside_leases_are_found_first(void)
{
    struct self_row self = bed_self();
    struct peer_row peers[BED_PEERS];
    struct route_row routes[BED_ROUTES];
    bed_peers(peers);
    bed_routes(routes);
    parse_address("::ffff:10.42.3.7", peers[0].address);
    parse_address("10.42.1.7", self.source4);
    struct tables *t = tables_build(1, (const uint8_t *)&self, sizeof self, (const uint8_t *)peers,
                                    sizeof peers, (const uint8_t *)routes, sizeof routes, NULL, 1);
    static const struct {
        const char *address;
        uint32_t result;
    } expected[] = {
        {"10.42.3.7", FIB_ENDPOINT},
        {"10.42.1.7", FIB_ENDPOINT},
        {"10.42.3.8", 2},
        {"10.42.1.255", FIB_BROADCAST},
        {"10.42.1.8", FIB_LOCAL},
        {"192.0.2.3", FIB_NONE},
        {"10.42.3.255", 2},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        uint8_t address[4];
        parse_address(expected[i].address, address);
        CHECK_EQ(fib_lookup(t->fib, 4, address), expected[i].result);
    }
    tables_free(t, NULL);
}

const struct test tables_tests[] = {
    {"bad rows are refused", bad_rows_are_refused},
    {"no rows make empty tables", no_rows_make_empty_tables},
    {"rows are taken over", rows_are_taken_over},
    {"thousands of peers are found, and no others", thousands_of_peers_are_found_and_no_others},
    {"peers spread, whatever part of their addresses differs",
     peers_spread_whatever_part_of_their_addresses_differs},
    {"statistics survive as long as the peer", statistics_survive_as_long_as_the_peer},
    {"a failed build leaves the previous tables alone",
     failed_builds_leave_the_previous_tables_alone},
    {"endpoints inside leases are found first", endpoints_inside_leases_are_found_first},
    {NULL, NULL},
};
