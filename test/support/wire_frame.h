/* Ethernet frames with UDP over IPv4, as the wire (wire.c) knows and damages them. Lengths and offsets are bytes. */
#ifndef WEFT_WIRE_FRAME_H
#define WEFT_WIRE_FRAME_H

#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the IPv4 header begins. */
enum { FRAME_IP = 14 };

static inline uint16_t frame_load16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline void frame_store16(uint8_t *bytes, size_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

/* Where the UDP payload begins, if it is such a frame. */
static inline size_t frame_payload(const uint8_t *frame)
{
    return FRAME_IP + (size_t)(frame[FRAME_IP] & 15) * 4 + 8;
}

/* Whether it is a datagram to a port, and whole. */
static inline bool frame_is_to(const uint8_t *frame, size_t len, uint16_t port)
{
    if (len < FRAME_IP + 20 || frame_load16(frame + 12) != ETHERTYPE_IP ||
        frame[FRAME_IP + 9] != IPPROTO_UDP)
        return false;
    return len > frame_payload(frame) && frame_load16(frame + frame_payload(frame) - 6) == port &&
           len >= (size_t)FRAME_IP + frame_load16(frame + FRAME_IP + 2);
}

/* Flips one bit between two offsets; `place` in [0, 1) says which. */
static inline void frame_flip(uint8_t *frame, size_t from, size_t to, double place)
{
    size_t bit = (size_t)(place * (double)((to - from) * 8));
    frame[from + bit / 8] ^= (uint8_t)(1u << bit % 8);
}

/* Takes the UDP checksum out (RFC 768: zero means none). */
static inline void frame_without_sum(uint8_t *frame)
{
    frame_store16(frame + frame_payload(frame) - 2, 0);
}

/* Makes the lengths of the IPv4 and UDP headers, and the IPv4 header's checksum, those of a frame of `len`. */
static inline void frame_resize(uint8_t *frame, size_t len)
{
    uint8_t *ip = frame + FRAME_IP;
    uint32_t sum = 0;
    frame_store16(ip + 2, len - FRAME_IP);
    frame_store16(frame + frame_payload(frame) - 4, len - frame_payload(frame) + 8);
    frame_store16(ip + 10, 0);
    for (size_t i = 0; i < frame_payload(frame) - 8 - FRAME_IP; i += 2)
        sum += frame_load16(ip + i);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    frame_store16(ip + 10, ~sum);
}

#endif
