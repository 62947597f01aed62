/* Looking at a descriptor that somebody else opened. */
#include "adopt.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The network namespace of a socket or TUN; false when it has none, or it cannot be told. */
static bool namespace_of(int fd, struct stat *stat)
{
    int ns = ioctl(fd, SIOCGSKNS);
    bool known = ns >= 0 && fstat(ns, stat) == 0;
    if (ns >= 0)
        close(ns);
    return known;
}

/* A duplicate as if this process had opened it; -1 when the descriptor belongs to another namespace. */
static int duplicate(int fd)
{
    struct stat theirs, ours;
    int own = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool here = namespace_of(fd, &theirs) && namespace_of(own, &ours) &&
                theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
    if (own >= 0)
        close(own);
    int flags = fcntl(fd, F_GETFL);
    if (!here || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -1;
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int adopt_tun(int fd, const char *name)
{
    const int mode = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    struct ifreq device;
    memset(&device, 0, sizeof device);
    /* EBADFD once the device has been deleted. */
    if (ioctl(fd, TUNGETIFF, &device) < 0 || strncmp(device.ifr_name, name, IFNAMSIZ) != 0 ||
        (device.ifr_flags & (mode | IFF_TAP | IFF_MULTI_QUEUE)) != mode)
        return -1;
    return duplicate(fd);
}

int adopt_socket(int fd, int family, uint16_t port)
{
    struct sockaddr_in6 at = {0}; /* in both families the port is where IPv4 has it */
    const struct sockaddr_in *in = (const struct sockaddr_in *)&at;
    socklen_t at_len = sizeof at, len = sizeof(int);
    int protocol;
    if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0 || protocol != IPPROTO_UDP ||
        getsockname(fd, (struct sockaddr *)&at, &at_len) < 0 || at.sin6_family != family ||
        at.sin6_port != htons(port))
        return -1;
    bool wildcard = family == AF_INET ? in->sin_addr.s_addr == INADDR_ANY
                                      : IN6_IS_ADDR_UNSPECIFIED(&at.sin6_addr);
    return wildcard ? duplicate(fd) : -1;
}
