/* The overlay's rows, and running packets through a forwarder whose "worker" sends by counting. */
#include "bed.h"

#include <stdlib.h>

uint64_t bed_drops_seen[DIRECTIONS][DROP_COUNT];

struct self_row bed_self(void)
{
    struct self_row self = {
        .vni = BED_VNI,
        .mtu = BED_MTU,
        .mac = {{2, 0, 0, 0, 1, 4}, {2, 0, 0, 0, 1, 6}},
        .port = BED_PORT,
    };
    parse_address("192.0.2.1", self.source4);
    parse_address("2001:db8::1", self.source6);
    parse_address("10.42.1.0", self.address4);
    parse_address("fd00:42:1::", self.address6);
    parse_address("10.42.1.1", self.gateway4);
    parse_address("fd00:42:1::1", self.gateway6);
    return self;
}

static struct peer_row peer_row(const char *address, uint32_t node, uint8_t host, uint8_t family)
{
    struct peer_row row = {.node = node, .mac = {2, 0, 0, 0, host, family}};
    parse_address(address, row.address);
    return row;
}

void bed_peers(struct peer_row rows[BED_PEERS])
{
    rows[0] = peer_row("::ffff:192.0.2.2", 20, 2, 4);
    rows[1] = peer_row("2001:db8::2", 20, 2, 6);
    rows[2] = peer_row("::ffff:192.0.2.3", 30, 3, 4);
}

static struct route_row route_row(const char *prefix, uint8_t length, uint32_t peer)
{
    struct route_row row = {
        .peer = peer, .family = strchr(prefix, ':') != NULL ? 6 : 4, .length = length};
    parse_address(prefix, row.prefix);
    return row;
}

void bed_routes(struct route_row rows[BED_ROUTES])
{
    rows[0] = route_row("10.42.1.0", 24, ROUTE_LOCAL);
    rows[1] = route_row("fd00:42:1::", 64, ROUTE_LOCAL);
    rows[2] = route_row("10.42.2.0", 24, 0);
    rows[3] = route_row("fd00:42:2::", 64, 1);
    rows[4] = route_row("10.42.3.0", 24, 2);
}

struct tables *bed_tables(uint32_t generation, const struct tables *previous)
{
    struct self_row self = bed_self();
    struct peer_row peers[BED_PEERS];
    struct route_row routes[BED_ROUTES];
    bed_peers(peers);
    bed_routes(routes);
    return tables_build(generation, (const uint8_t *)&self, sizeof self, (const uint8_t *)peers,
                        sizeof peers, (const uint8_t *)routes, sizeof routes, previous, 1);
}

/* As the worker's: what was in the queue counts as forwarded. */
static void flush(void *owner)
{
    struct bed *b = owner;
    b->flushes++;
    for (size_t i = 0; i < b->queue.run_count; i++)
        count(&b->counters, COUNTER_TX_FORWARDED, b->queue.runs[i].packets);
}

/* The last bed's memory: fuzzing makes thousands a second, and fresh pages are what that would cost. */
static struct bed *spare;

struct bed *bed_new(enum format format)
{
    struct bed *b = spare != NULL ? spare : aligned_alloc(64, (sizeof *b + 63) / 64 * 64);
    if (b == NULL)
        abort();
    spare = NULL;
    memset(b, 0, sizeof *b);
    b->tables = bed_tables(1, NULL);
    b->queue.max_datagrams = RUN_DATAGRAMS;
    b->queue.send = flush;
    b->queue.owner = b;
    b->f.format = format;
    b->f.tables = b->tables;
    b->f.counters = &b->counters;
    b->f.queue = &b->queue;
    b->f.now_ms = 1000000;
    return b;
}

uint64_t bed_counter(const struct bed *b, enum counter counter)
{
    return b->counters.value[counter];
}

static uint64_t all_drops(const struct bed *b, enum direction direction)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < DROP_COUNT; i++)
        sum += b->counters.drops[direction][i];
    return sum;
}

static void check_balance(const struct bed *b)
{
    uint64_t waiting = 0;
    for (size_t i = 0; i < b->queue.run_count; i++)
        waiting += b->queue.runs[i].packets;
    CHECK_EQ(bed_counter(b, COUNTER_TX_IN),
             bed_counter(b, COUNTER_TX_FORWARDED) + waiting + all_drops(b, DIRECTION_TX));
    CHECK_EQ(bed_counter(b, COUNTER_RX_IN), bed_counter(b, COUNTER_RX_FORWARDED) +
                                                bed_counter(b, COUNTER_RX_CONSUMED) +
                                                all_drops(b, DIRECTION_RX));
}

void bed_free(struct bed *b)
{
    sendq_flush(&b->queue);
    check_balance(b);
    for (size_t i = 0; i < DROP_COUNT; i++) {
        bed_drops_seen[DIRECTION_TX][i] += b->counters.drops[DIRECTION_TX][i];
        bed_drops_seen[DIRECTION_RX][i] += b->counters.drops[DIRECTION_RX][i];
    }
    tables_free(b->tables, NULL);
    free(spare);
    spare = b;
}

/* The reason whose counter has moved since `before`. */
static enum drop moved(const struct bed *b, enum direction direction, const uint64_t *before)
{
    enum drop reason = DROP_NONE;
    for (enum drop i = DROP_NONE; i < DROP_COUNT; i++)
        if (b->counters.drops[direction][i] != before[i])
            reason = i;
    return reason;
}

static void remember(const struct bed *b, enum direction direction, uint64_t *before)
{
    for (size_t i = 0; i < DROP_COUNT; i++)
        before[i] = b->counters.drops[direction][i];
}

enum drop bed_tx(struct bed *b, struct packet *p)
{
    uint64_t before[DROP_COUNT];
    remember(b, DIRECTION_TX, before);
    enum drop reason = forward_tx(&b->f, p);
    check_balance(b);
    CHECK_EQ(reason, moved(b, DIRECTION_TX, before));
    return reason;
}

enum drop bed_rx(struct bed *b, const struct peer *peer, const uint8_t *data, size_t len,
                 size_t gro_size)
{
    uint64_t before[DROP_COUNT];
    remember(b, DIRECTION_RX, before);
    struct datagram d = {owned_copy(data, len), len, gro_size, b->outer_tos};
    enum drop reason = forward_rx(&b->f, peer, &d, &b->out);
    count(&b->counters, COUNTER_RX_FORWARDED, b->out.data != NULL);
    check_balance(b);
    CHECK_EQ(reason, moved(b, DIRECTION_RX, before));
    return reason;
}

size_t bed_split(const struct bed *b, uint8_t *data, size_t len, size_t gro_size)
{
    return forward_rx_split(&b->f, &(struct datagram){data, len, gro_size, 0});
}

struct bytes bed_frame(uint32_t peer, const struct sample *s)
{
    struct self_row self = bed_self();
    struct peer_row peers[BED_PEERS];
    bed_peers(peers);
    struct bytes frame = {owned(VXLAN_OVERHEAD + s->len), VXLAN_OVERHEAD + s->len};
    const uint8_t flags_and_vni[] = {8, 0, 0, 0, 1, 2, 3, 0};
    memcpy(frame.data, flags_and_vni, sizeof flags_and_vni);
    memcpy(frame.data + 8, self.mac[s->family == 6], MAC_SIZE);
    memcpy(frame.data + 14, peers[peer].mac, MAC_SIZE);
    put16(frame.data + 20, s->family == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
    memcpy(frame.data + VXLAN_OVERHEAD, s->data, s->len);
    return frame;
}

size_t bed_datagrams(const struct bed *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->queue.run_count; i++)
        n += b->queue.runs[i].datagrams;
    return n;
}

struct bytes bed_datagram(struct bed *b, size_t index)
{
    sendq_arrange(&b->queue);
    const struct run *run = b->queue.runs;
    for (; index >= run->datagrams; run++)
        index -= run->datagrams;
    uint8_t *all = owned(run->bytes), *end = all;
    for (size_t i = 0; i < run->pieces; i++) {
        const struct iovec *piece = &b->queue.pieces[run->first_piece + i];
        memcpy(end, piece->iov_base, piece->iov_len);
        end += piece->iov_len;
    }
    size_t offset = index * run->size, left = run->bytes - offset;
    return (struct bytes){all + offset, left < run->size ? left : run->size};
}
