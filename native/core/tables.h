/*
 * What the workers know of the world: this node, its peers, and which prefix belongs to whom. The control plane
 * sends it whole, as packed rows; tables_build checks them and makes the form that lookups want. Immutable after
 * that; published to the workers through io/rcu.h.
 *
 * The rows are a wire format between JavaScript and C: addresses in network byte order, integers in host byte order,
 * no padding (src/dataplane/rows.ts is the other side).
 */
#ifndef WEFT_TABLES_H
#define WEFT_TABLES_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "fib.h"
#include "path.h"

enum { MAC_SIZE = 6 };

/* What is let in although the strict rules forbid it: self_row.admit. */
enum admit {
    ADMIT_EXTERNAL = 1, /* inner sources that nobody leases */
    ADMIT_BRIDGED = 2,  /* inner MACs that are not the peer's VTEP's */
    ADMIT_LENIENT = 4,  /* reserved bits of the VXLAN header */
    ADMIT_GBP = 8,      /* VXLAN's group policy extension */
};

/* Absent addresses are zero. Index 0 of the pairs is IPv4's, 1 is IPv6's. */
struct self_row {
    uint32_t vni;
    uint32_t mtu;       /* of the TUN: the largest inner packet */
    uint8_t source4[4]; /* underlay addresses to send from; zero: the kernel chooses */
    uint8_t source6[16];
    uint8_t address4[4]; /* the TUN's own addresses: the source of our ICMP errors */
    uint8_t address6[16];
    uint8_t gateway4[4]; /* the subnet's first addresses, which pods use as gateway (subnet.env) */
    uint8_t gateway6[16];
    uint8_t mac[2][MAC_SIZE]; /* of this VTEP, for inner IPv4 and inner IPv6 */
    uint16_t port;            /* UDP port of the tunnel */
    uint16_t admit;           /* of enum admit */
};
static_assert(sizeof(struct self_row) == 84, "packed by src/dataplane/rows.ts");

/* The peer ignores the ECN bits of the outer header, so it is sent none (RFC 6040 4.1, compatibility mode). */
enum { PEER_NO_ECN = 1 };

struct peer_row {
    uint8_t address[16]; /* underlay address; IPv4 as ::ffff:a.b.c.d */
    uint32_t node;       /* rows of one host share a number and stand next to each other */
    uint8_t mac[MAC_SIZE];
    uint8_t flags;
    uint8_t reserved;
};
static_assert(sizeof(struct peer_row) == 28, "packed by src/dataplane/rows.ts");

struct route_row {
    uint8_t prefix[16]; /* IPv4 in the first four bytes */
    uint32_t peer;      /* row of the peer, or ROUTE_LOCAL */
    uint8_t family;     /* 4 or 6 */
    uint8_t length;
    uint8_t reserved[2];
};
static_assert(sizeof(struct route_row) == 24, "packed by src/dataplane/rows.ts");

/* The route of this host's own subnets. As a lookup result it is FIB_LOCAL. */
#define ROUTE_LOCAL 0xffffffffu

/*
 * What a lookup finds besides rows of peers, which are smaller than all of these: an own subnet; the all-ones address
 * of one; an underlay address that lies in a leased subnet, where packets for it would be a tunnel inside the tunnel.
 */
#define FIB_LOCAL (FIB_NONE - 1)
#define FIB_BROADCAST (FIB_NONE - 2)
#define FIB_ENDPOINT (FIB_NONE - 3)

/* Traffic with one peer, counted by one worker. */
struct peer_stats {
    _Atomic uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes, errors, last_received_ms;
};

/* What is found out about a peer; kept from table to table as long as the peer's address stays. */
struct peer_state {
    struct path path;
    _Atomic uint64_t reported; /* drop reasons, by bit, that an event has told of */
    struct peer_stats stats[]; /* one per worker */
};
static_assert(DROP_COUNT <= 64, "a bit each");

struct peer {
    uint8_t address[16];
    uint32_t node;
    uint8_t mac[MAC_SIZE];
    uint8_t flags;
    struct peer_state *state;
};

struct tables {
    uint32_t generation;
    struct self_row self;
    struct peer *peers;
    uint32_t peer_count;
    uint32_t *buckets; /* open addressing by underlay address: peer number + 1, 0 is empty */
    uint32_t bucket_mask;
    struct fib *fib;
    uint32_t workers;
};

/*
 * Builds tables from rows (copied). Peers whose address was in `previous` (or null) keep their state, which then
 * belongs to both tables: free with tables_free(old, successor). Returns null with errno EINVAL (lengths that are no
 * multiple of a row, a peer number out of range, a bad prefix length, a duplicate address) or ENOMEM.
 */
struct tables *tables_build(uint32_t generation, const uint8_t *self, size_t self_len,
                            const uint8_t *peers, size_t peers_len, const uint8_t *routes,
                            size_t routes_len, const struct tables *previous, uint32_t workers);

/* Frees tables, and the state of those peers that are not in `successor` (null: of all). */
void tables_free(struct tables *tables, const struct tables *successor);

/* The peer with an underlay address (16 bytes), or null. */
struct peer *tables_peer(const struct tables *tables, const uint8_t address[16]);

/* The same for an address of a family, 4 or 6, in as many bytes. */
struct peer *tables_peer_at(const struct tables *tables, int family, const uint8_t *address);

/* Whether an address is one of this host's two on the overlay, the TUN's own or the gateway's. Zero never is. */
bool self_has_address(const struct self_row *self, int family, const uint8_t *address);

/* Whether an address is one that this host sends its datagrams from. */
bool tables_is_source(const struct tables *tables, int family, const uint8_t *address);

#endif
