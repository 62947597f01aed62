/*
 * The TUN device: packets between the host's routing and a worker, with the kernel's offload header in front
 * (IFF_VNET_HDR), so that TCP and UDP super-packets and unfinished checksums cross it as they are.
 */
#ifndef WEFT_TUN_H
#define WEFT_TUN_H

#include <net/if.h>
#include <stdbool.h>
#include <sys/types.h>

#include "../core/ip.h"
#include "failure.h"

struct tun {
    int fd;
    int ifindex;
    char name[IFNAMSIZ];
    bool tso; /* the kernel hands over TCP super-packets */
    bool uso; /* ... and UDP ones, and takes them (Linux 6.2) */
};

/*
 * Creates the device, or attaches to one that exists and nobody has open. tso and uso: whether to use the offload if
 * the kernel has it. The device is down and without addresses; it vanishes with tun_close. Returns 0 or fills *failure
 * and returns -1.
 */
int tun_open(struct tun *tun, const char *name, bool tso, bool uso, struct failure *failure);
void tun_close(struct tun *tun);

/*
 * Reads one packet to `buffer` (of `size` bytes) and describes it in *p. Returns 0, or an errno: EAGAIN when there
 * is none, EBADFD when the device is gone.
 */
int tun_read(const struct tun *tun, uint8_t *buffer, size_t size, struct packet *p);

/* Writes one packet, which may be a super-packet. Runs the kernel's receive path. Returns 0 or an errno. */
int tun_write(const struct tun *tun, const struct packet *p);

/* Writes a plain packet given as two pieces; the second may be empty. */
int tun_write_pieces(const struct tun *tun, const uint8_t *head, size_t head_len,
                     const uint8_t *tail, size_t tail_len);

#endif
