/*
 * The TUN device: packets between the host's routing and a worker, with the kernel's offload header in front
 * (IFF_VNET_HDR), so that TCP and UDP super-packets and unfinished checksums cross it as they are.
 */
#ifndef WEFT_TUN_H
#define WEFT_TUN_H

#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "../core/ip.h"
#include "failure.h"

struct tun {
    int fd;
    bool adopted;
    int ifindex;
    char name[IFNAMSIZ];
    bool tso; /* the kernel hands over TCP super-packets */
    bool uso; /* ... and UDP ones, and takes them (Linux 6.2) */
};

/*
 * Creates the device, or attaches to one that exists and nobody has open. tso and uso: whether to use the offload if
 * the kernel has it. The device is down and without addresses; it vanishes when its last descriptor is closed.
 * `adopted`: a descriptor that may have it open already, and is then duplicated; -1: none. Returns 0 or fills *failure
 * and returns -1.
 */
int tun_open(struct tun *tun, int adopted, const char *name, bool tso, bool uso,
             struct failure *failure);
void tun_close(struct tun *tun);

/* Where a packet is read to: TUN_PACKET_MAX bytes, and what the device says of it. */
enum { TUN_PACKET_MAX = 65535 + 1 };
struct tun_room {
    uint8_t *data;
    struct virtio_net_hdr header;
};

/*
 * Reads one packet to `room` and describes it in *p. Returns 0, or an errno: EAGAIN when there is none, EBADFD when
 * the device is gone.
 */
int tun_read(const struct tun *tun, struct tun_room *room, struct packet *p);

/*
 * The same of a room that a thread read to when it ended, and whose first byte was 0 before: whether a packet came. Its
 * length is what its IP header tells.
 */
bool tun_came(const struct tun_room *room, struct packet *p);

/*
 * Writes one packet, which may be a super-packet: the bytes of *p and behind them `n` pieces (TUN_TAIL_MAX at most).
 * Runs the kernel's receive path. Returns 0 or an errno.
 */
enum { TUN_TAIL_MAX = 64 };
int tun_write(const struct tun *tun, const struct packet *p, const struct iovec *tail, size_t n);

/* How many writes the device has taken since it was created, by anybody. False when the kernel does not tell. */
bool tun_count_writes(const struct tun *tun, uint64_t *n);

#endif
