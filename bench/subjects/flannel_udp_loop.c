/*
 * What weft is compared with: a forwarder that works as flannel's udp backend does. It sleeps in poll, and then takes
 * one packet per read and one send from the TUN to the peer and back, as long as either side has one. No offloads, no
 * vnet header, no batches.
 *
 *   flannel-udp-loop TUN PORT NETWORK PEER     everything in NETWORK (a /24) goes to PEER:PORT
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PACKET_MAX = 9000, IPV4_HEADER = 20, TTL = 8, CHECKSUM = 10, DESTINATION = 16 };

static uint8_t packet[PACKET_MAX];
static struct sockaddr_in peer = {.sin_family = AF_INET};
static uint8_t network[4];

static int open_tun(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        err(1, "%s", name);
    return fd;
}

static int open_socket(uint16_t port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0)
        err(1, "port %u", port);
    return fd;
}

/* False when the packet has used up its hops. The checksum grows by what the word of TTL and protocol loses. */
static bool decrement_ttl(void)
{
    uint32_t sum = (uint32_t)(packet[CHECKSUM] << 8 | packet[CHECKSUM + 1]) + 0x100;
    if (packet[TTL] <= 1)
        return false;
    packet[TTL]--;
    sum = (sum & 0xffff) + (sum >> 16);
    packet[CHECKSUM] = (uint8_t)(sum >> 8);
    packet[CHECKSUM + 1] = (uint8_t)sum;
    return true;
}

/* Both return whether there was a packet. */
static bool tun_to_udp(int tun, int udp)
{
    ssize_t n = read(tun, packet, sizeof packet);
    if (n < IPV4_HEADER)
        return n > 0;
    if (memcmp(packet + DESTINATION, network, 3) == 0 && decrement_ttl())
        sendto(udp, packet, (size_t)n, 0, (struct sockaddr *)&peer, sizeof peer);
    return true;
}

static bool udp_to_tun(int tun, int udp)
{
    ssize_t n = recv(udp, packet, sizeof packet, 0);
    if (n < IPV4_HEADER)
        return n > 0;
    if (decrement_ttl() && write(tun, packet, (size_t)n) < 0)
        warn("write");
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 5 || inet_pton(AF_INET, argv[3], network) != 1 ||
        inet_pton(AF_INET, argv[4], &peer.sin_addr) != 1)
        errx(2, "usage: flannel-udp-loop TUN PORT NETWORK PEER");
    uint16_t port = (uint16_t)atoi(argv[2]);
    peer.sin_port = htons(port);
    int tun = open_tun(argv[1]), udp = open_socket(port);
    struct pollfd waits[] = {{.fd = tun, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
    puts("ready");
    fflush(stdout);
    while (poll(waits, 2, -1) > 0) {
        bool active = true;
        while (active) {
            active = tun_to_udp(tun, udp);
            active |= udp_to_tun(tun, udp);
        }
    }
    err(1, "poll");
}
