/*
 * Segmentation of super-packets: what the NIC or the kernel (net/ipv4/tcp_offload.c, udp_offload.c) would do. Used on
 * the way out for what the TUN hands over unsegmented, and on the way in for what it does not take unsegmented.
 *
 * A segment is a header of its own, written by gso_next, and a slice of the super-packet's payload, which is not
 * copied. Each has valid lengths, IPv4 id, sequence number, flags and complete checksums.
 */
#ifndef WEFT_GSO_H
#define WEFT_GSO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ip.h"

/* The longest header of a segment: IPv6 with 128 bytes of extension headers, and TCP with options. */
enum { GSO_HEADER_MAX = IPV6_HEADER + 128 + 60 };

struct gso_segments {
    const struct packet *packet;
    struct ip_info ip;
    size_t header_len; /* IP and upper-layer header: the same for every segment */
    size_t offset;     /* of the next segment's payload in the packet */
    uint32_t index;    /* of the next segment */
    uint64_t
        base_sum; /* of addresses (the final destination, behind a routing header) and protocol */
};

/*
 * Prepares the segmentation of a super-packet. `ip` is its checked view. Returns DROP_NONE, or DROP_bad_offload when
 * the packet's offload fields contradict its bytes. The packet must outlive the iteration and is not modified.
 */
enum drop gso_begin(struct gso_segments *g, const struct packet *packet, const struct ip_info *ip);

/*
 * Writes the headers of the next segment to `headers` (g->header_len bytes) and points *payload at its payload.
 * Returns false when there is none left.
 */
bool gso_next(struct gso_segments *g, uint8_t *headers, uint8_t **payload, size_t *payload_len);

#endif
