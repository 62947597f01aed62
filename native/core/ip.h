/*
 * The one checked entry to an IP packet. ip_parse looks at bytes nobody has vouched for; what it accepts, everything
 * after it may rely on: the header is whole, its lengths are consistent, and `src`, `dst` and `upper` lie inside.
 */
#ifndef WEFT_IP_H
#define WEFT_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "counters.h"

enum {
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    UDP_HEADER = 8,
    TCP_HEADER = 20,
    PROTO_ICMP = 1,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_ICMPV6 = 58,
};

/* Room that is kept free in front of packets read from the TUN, for the encapsulation. */
enum { HEADROOM = 64 };

struct ip_info {
    int family; /* 4 or 6 */
    uint8_t tos;
    uint8_t ttl;
    uint8_t proto;       /* upper-layer protocol, behind IPv6 extension headers */
    bool fragment;       /* any fragment, the first one too */
    bool later_fragment; /* a fragment without the upper-layer header */
    bool routed;         /* an IPv6 routing header names the final destination, dst does not */
    size_t upper;        /* offset of the upper-layer header */
    size_t len;          /* of the packet as its header says; at most what was given */
    const uint8_t *src;
    const uint8_t *dst;
};

/* A packet and what the kernel left for us to finish in it. Whoever made it owns the bytes. */
struct packet {
    uint8_t *data; /* first byte of the IP header; HEADROOM bytes before it may be written */
    size_t len;
    /* Super-packet: to be cut into segments of mss payload bytes. */
    enum gso { GSO_NONE, GSO_TCP, GSO_UDP } gso;
    uint16_t mss;
    /* The upper-layer checksum holds only the pseudo-header's sum; the rest must be added from csum_start on. */
    bool partial;
    uint16_t csum_start;
    uint16_t csum_offset;
    /* Of a received packet: what ip_parse said of it, and that its TCP or UDP checksum was found right, or partial. */
    struct ip_info ip;
    bool verified;
};

/*
 * Checks the IP header of `len` bytes at `data` (RFC 791, RFC 8200) and fills *ip. Bytes behind the length that the
 * header tells are padding and not part of the packet. Returns DROP_NONE or why the packet is no good.
 */
enum drop ip_parse(const uint8_t *data, size_t len, struct ip_info *ip);

/* Whether the addresses may travel between hosts at all: DROP_NONE, DROP_martian or DROP_bcast_mcast. */
enum drop ip_check_addresses(const struct ip_info *ip);

/*
 * Joins the congestion mark of the outer header (its TOS or traffic class) with the inner packet's, as RFC 6040 4.2
 * has it: writes the result into the packet and *ip, and keeps the IPv4 header checksum right. False when the packet
 * must be dropped: it was marked and cannot carry the mark.
 */
bool ip_merge_ecn(uint8_t *data, struct ip_info *ip, uint8_t outer_tos);

/* Takes one off TTL or hop limit, which must be at least 1, and keeps the IPv4 header checksum right. */
void ip_decrement_ttl(uint8_t *data, int family);

static inline size_t ip_address_size(int family)
{
    return family == 4 ? 4 : 16;
}

/* Underlay addresses have one form, 16 bytes: IPv4 is mapped, ::ffff:a.b.c.d (RFC 4291 2.5.5.2). */
void ip_map(int family, const uint8_t *address, uint8_t out[16]);
bool ip_is_mapped(const uint8_t address[16]);

/* Offset of the checksum field in the upper-layer header; 0 for protocols that are not TCP or UDP. */
static inline uint16_t ip_csum_offset(uint8_t proto)
{
    return proto == PROTO_TCP ? 16 : proto == PROTO_UDP ? 6 : 0;
}

/* Sets the header's length to `len` bytes in all, and the IPv4 header checksum over whatever the header then holds. */
void ip_set_length(uint8_t *data, const struct ip_info *ip, size_t len);

/* Leaves only the pseudo-header's sum in the checksum of a packet (p->ip) of `len` bytes, for the kernel to complete. */
void ip_make_partial(struct packet *p, size_t len);

/* Completes a partial checksum in place (and makes the packet not partial). Its offsets must have been checked. */
void ip_complete_checksum(struct packet *p, const struct ip_info *ip);

/*
 * Whether the TCP or UDP checksum of a whole packet is right, only the sum of the pseudo-header (which a sender
 * behind checksum offload leaves), or neither. CSUM_NONE: UDP without a checksum, a fragment, a packet whose final
 * destination is elsewhere, or nothing to check.
 */
enum csum_state { CSUM_NONE, CSUM_GOOD, CSUM_PARTIAL, CSUM_BAD };
enum csum_state ip_checksum_state(const uint8_t *data, const struct ip_info *ip);

#endif
