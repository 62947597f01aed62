/*
 * Coalescing of received packets: TCP segments and UDP datagrams of one flow that follow each other
 * become one super-packet, which crosses the host's receive path at the price of one. The rules are
 * those of the kernel's GRO (net/ipv4/tcp_offload.c, udp_offload.c): cutting the super-packet again
 * gives the packets back as they were.
 *
 * Packets of a flow keep their order. What cannot be merged is written at once, behind what its
 * flow has waiting. No payload is copied: waiting packets stay in the receive buffer, so the owner
 * flushes before it receives again. They stay as they are: should the thread die, another can do
 * the same once more.
 */
#ifndef WEFT_GRO_H
#define WEFT_GRO_H

#include <sys/uio.h>

#include "ip.h"

enum {
    GRO_FLOWS = 16,
    GRO_SEGMENTS = 64, /* of one super-packet; UDP_MAX_SEGMENTS before Linux 6.9 */
};

struct gro_flow {
    struct packet head; /* the first packet */
    struct iovec payloads[GRO_SEGMENTS];
    unsigned segments;
    size_t len;        /* of the super-packet */
    size_t header_len; /* IP and upper-layer header */
    size_t size;       /* payload of every packet but the last */
    uint32_t next_seq; /* TCP */
    uint8_t flags;     /* of any of them; TCP */
};

struct gro {
    struct gro_flow flows[GRO_FLOWS]; /* oldest first */
    unsigned count;
    bool udp; /* whether whoever takes the super-packets takes UDP ones */
    /* Writes a received packet, when n is 0, or the headers of a super-packet and its n payloads. */
    void (*write)(void *owner, const struct packet *head, const struct iovec *payloads, unsigned n);
    void *owner;
};

/* Takes an admitted packet: merges it, lets it wait for more, or writes it. */
void gro_receive(struct gro *gro, const struct packet *p);

/* Writes everything that waits. */
void gro_flush(struct gro *gro);

#endif
