/* Opening the TUN, probing its offloads, translating its offload header (struct virtio_net_hdr), and its counter. */
#include "tun.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "adopt.h"
#include "uapi_compat.h"

static int fail(struct failure *failure, const char *call)
{
    *failure = (struct failure){.error = errno, .call = call};
    return -1;
}

static int read_ifindex(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    memcpy(request.ifr_name, name, IFNAMSIZ);
    int result = ioctl(fd, SIOCGIFINDEX, &request);
    close(fd);
    return result < 0 ? -1 : request.ifr_ifindex;
}

/* Attaches to the device `name`, creating it if needed. Returns a descriptor, or -1 with *failure filled. */
static int attach(const char *name, struct failure *failure)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return fail(failure, "open /dev/net/tun");
    if (ioctl(fd, TUNSETIFF, &request) == 0)
        return fd;
    fail(failure, "ioctl TUNSETIFF");
    close(fd);
    return -1;
}

int tun_open(struct tun *tun, int adopted, const char *name, bool tso, bool uso,
             struct failure *failure)
{
    *tun = (struct tun){.fd = adopt_tun(adopted, name)};
    tun->adopted = tun->fd >= 0;
    if (!tun->adopted)
        tun->fd = attach(name, failure);
    if (tun->fd < 0)
        return -1;
    strncpy(tun->name, name, IFNAMSIZ - 1);
    tun->ifindex = read_ifindex(tun->name);
    if (tun->ifindex < 0) {
        fail(failure, "ioctl SIOCGIFINDEX");
        goto close;
    }

    unsigned base = TUN_F_CSUM | (tso ? TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN : 0u);
    tun->tso = tso;
    /* A kernel that does not know one of the flags refuses them all. */
    tun->uso = uso && ioctl(tun->fd, TUNSETOFFLOAD, base | TUN_F_USO4 | TUN_F_USO6) == 0;
    if (!tun->uso && ioctl(tun->fd, TUNSETOFFLOAD, base) < 0) {
        fail(failure, "ioctl TUNSETOFFLOAD");
        goto close;
    }
    return 0;

close:
    tun_close(tun);
    return -1;
}

void tun_close(struct tun *tun)
{
    if (tun->fd >= 0)
        close(tun->fd);
    tun->fd = -1;
}

static struct packet describe(const struct tun_room *room, size_t len)
{
    const struct virtio_net_hdr *header = &room->header;
    struct packet p = {
        .data = room->data,
        .len = len,
        .partial = (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0,
        .csum_start = header->csum_start,
        .csum_offset = header->csum_offset,
    };
    unsigned type = header->gso_type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN;
    if (type != VIRTIO_NET_HDR_GSO_NONE) {
        /* hdr_len is only a hint and not used. A type nobody asked for is refused later for its TCP header. */
        p.gso = type == VIRTIO_NET_HDR_GSO_UDP_L4 ? GSO_UDP : GSO_TCP;
        p.mss = header->gso_size;
    }
    return p;
}

int tun_read(const struct tun *tun, struct tun_room *room, struct packet *p)
{
    struct iovec pieces[2] = {{&room->header, sizeof room->header}, {room->data, TUN_PACKET_MAX}};
    ssize_t n = readv(tun->fd, pieces, 2);
    if (n < 0)
        return errno;
    if ((size_t)n < sizeof room->header)
        return EIO;
    *p = describe(room, (size_t)n - sizeof room->header);
    return 0;
}

bool tun_came(const struct tun_room *room, struct packet *p)
{
    const uint8_t *data = room->data;
    size_t len = data[0] >> 4 == 4   ? get16(data + 2)
                 : data[0] >> 4 == 6 ? IPV6_HEADER + get16(data + 4)
                                     : 0;
    if (len == 0 || len > TUN_PACKET_MAX)
        return false;
    *p = describe(room, len);
    return true;
}

static uint8_t gso_type(const struct packet *p)
{
    if (p->gso == GSO_UDP)
        return VIRTIO_NET_HDR_GSO_UDP_L4;
    return p->data[0] >> 4 == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
}

static size_t upper_header_len(const struct packet *p)
{
    return p->gso == GSO_UDP ? UDP_HEADER : (size_t)(p->data[p->csum_start + 12] >> 4) * 4;
}

int tun_write(const struct tun *tun, const struct packet *p, const struct iovec *tail, size_t n)
{
    struct virtio_net_hdr header = {0};
    if (p->partial) {
        header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header.csum_start = p->csum_start;
        header.csum_offset = p->csum_offset;
    }
    if (p->gso != GSO_NONE) {
        header.gso_type = gso_type(p);
        header.gso_size = p->mss;
        header.hdr_len = (uint16_t)(p->csum_start + upper_header_len(p));
    }
    struct iovec pieces[2 + TUN_TAIL_MAX] = {{&header, sizeof header}, {p->data, p->len}};
    if (n > 0)
        memcpy(pieces + 2, tail, n * sizeof *tail);
    return writev(tun->fd, pieces, (int)n + 2) < 0 ? errno : 0;
}

bool tun_count_writes(const struct tun *tun, uint64_t *n)
{
    /* One packet received for each write, whatever its size (drivers/net/tun.c, tun_get_user). Netlink tells the same,
     * but has to wait for whoever holds the kernel's lock of all links. */
    FILE *file = fopen("/proc/self/net/dev", "re");
    char line[512], name[IFNAMSIZ];
    bool found = false;
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
        found =
            sscanf(line, " %15[^:]: %*u %" SCNu64, name, n) == 2 && strcmp(name, tun->name) == 0;
    if (file != NULL)
        fclose(file);
    return found;
}
