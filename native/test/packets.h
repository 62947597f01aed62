/*
 * Packets for tests, made from a description, and a model of their checksums that shares nothing
 * with core/: it adds one byte after the other.
 */
#ifndef WEFT_TEST_PACKETS_H
#define WEFT_TEST_PACKETS_H

#include "../core/ip.h"
#include "test.h"

/* What is left out is: UDP, from a pod of this host to one of the first peer, TTL 64, no payload.
 */
struct spec {
    const char *src, *dst; /* IPv6 with a colon */
    uint8_t proto;
    uint8_t ttl;
    size_t payload; /* random bytes behind the upper-layer header */
    const uint8_t
        *extra; /* IPv4 options, or IPv6 extension headers, the last of which names `proto` */
    size_t extra_len;
    uint8_t first_extension; /* type of the first IPv6 extension header */
    uint16_t fragment;       /* IPv4 flags and offset */
    size_t tcp_options;      /* bytes */
    uint8_t tcp_flags;
};

/* A packet that ends where its memory ends and has HEADROOM writable bytes in front. */
struct sample {
    uint8_t *data;
    size_t len;
    int family;
    uint8_t proto;
    size_t upper; /* offset of the upper-layer header */
};

struct sample make_sample(const struct spec *spec);
#define SAMPLE(...) make_sample(&(struct spec){__VA_ARGS__})

/* Makes the checksums right again after bytes were changed. */
void seal(const struct sample *s);

/* Leaves only the pseudo-header's sum in the TCP or UDP checksum, as a sender behind offload does.
 */
void make_partial(const struct sample *s);

/* The packet as the TUN would hand it over: whole, or to be cut to `mss` (which makes it partial).
 */
struct packet plain_packet(const struct sample *s);
struct packet super_packet(const struct sample *s, uint16_t mss);

/* The sum of bytes in network order, folded; `sum` is that of what stands before, of even length.
 */
uint16_t model_sum(uint16_t sum, const uint8_t *data, size_t len);

/* Whether lengths and checksums of a packet with that layout are right. */
bool packet_valid(const uint8_t *data, size_t len, size_t upper, uint8_t proto);

/* Text to an address of `family` (4 or 6) in network order. */
void parse_address(const char *text, uint8_t *out);

#endif
