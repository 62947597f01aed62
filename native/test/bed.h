/*
 * A small overlay, and a forwarder in it with a counter's view of what happens to each packet.
 *
 *   this host  10.42.1.0/24, fd00:42:1::/64   answers to .0 and .1, :: and ::1
 *   peer 0, 1  10.42.2.0/24, fd00:42:2::/64   one dual-stack host: 192.0.2.2, 2001:db8::2
 *   peer 2     10.42.3.0/24                   192.0.2.3
 */
#ifndef WEFT_TEST_BED_H
#define WEFT_TEST_BED_H

#include "../core/forward.h"
#include "../core/vxlan.h"
#include "packets.h"

enum { BED_VNI = 0x010203, BED_MTU = 1400, BED_PORT = 8472, BED_PEERS = 3, BED_ROUTES = 5 };

struct self_row bed_self(void);
void bed_peers(struct peer_row rows[BED_PEERS]);
void bed_routes(struct route_row rows[BED_ROUTES]);
struct tables *bed_tables(uint32_t generation, const struct tables *previous);

struct bed {
    struct forward f;
    struct counters counters;
    struct sendq queue;
    struct tables *tables;
    unsigned flushes;
    uint8_t outer_tos; /* of what bed_rx receives */
    struct packet out; /* what bed_rx admitted; no data: it was consumed or dropped */
};

struct bed *bed_new(enum format format);
/* Checks the counters' balance, remembers which drops were seen, frees. */
void bed_free(struct bed *b);

/* Forwards and returns why the packet was dropped, or DROP_NONE. The balance of the counters is
 * checked. */
enum drop bed_tx(struct bed *b, struct packet *p);
/* The same for a datagram (copied to memory of its exact size); a packet that is let through is
 * b->out. */
enum drop bed_rx(struct bed *b, const struct peer *peer, const uint8_t *data, size_t len,
                 size_t gro_size);

/* The length of the first of the datagrams in `len` bytes. */
size_t bed_split(const struct bed *b, uint8_t *data, size_t len, size_t gro_size);

/* A frame from the VTEP of `peer` (its row) to this host around a packet; the caller may spoil it.
 */
struct bytes {
    uint8_t *data;
    size_t len;
};
struct bytes bed_frame(uint32_t peer, const struct sample *s);

/* A copy of the datagram that waits in the queue at that place. */
struct bytes bed_datagram(struct bed *b, size_t index);
size_t bed_datagrams(const struct bed *b);

uint64_t bed_counter(const struct bed *b, enum counter counter);

/* How often any bed has seen a reason. */
extern uint64_t bed_drops_seen[DIRECTIONS][DROP_COUNT];

#endif
