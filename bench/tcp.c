/*
 * TCP for the bench: as much as goes, over some streams at once, for less than a second if need be. One thread at each
 * end, as iperf3 has.
 *
 *   tcp send ADDRESS PORT STREAMS MILLISECONDS     prints how many segments were sent again
 *   tcp sink PORT                                  prints, whenever the streams have ended, what they brought
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 128 << 10, STREAMS_MAX = 64, EVENTS = 16 };

static uint8_t block[BLOCK];

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void watch(int poll, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.fd = fd}};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0)
        err(1, "epoll_ctl");
}

static int dial(const char *address, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        err(1, "connecting to %s", address);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static unsigned retransmits(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    return info.tcpi_total_retrans;
}

static void send_streams(const char *address, uint16_t port, unsigned streams, double seconds)
{
    int fds[STREAMS_MAX], poll = epoll_create1(0);
    struct epoll_event events[EVENTS];
    unsigned again = 0;
    if (streams < 1 || streams > STREAMS_MAX)
        errx(2, "1 to %d streams", STREAMS_MAX);
    for (unsigned i = 0; i < streams; i++) {
        fds[i] = dial(address, port);
        watch(poll, fds[i], EPOLLOUT);
    }
    for (double end = now() + seconds; now() < end;) {
        int n = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < n; i++)
            if (write(events[i].data.fd, block, BLOCK) < 0 && errno != EAGAIN)
                err(1, "write");
    }
    for (unsigned i = 0; i < streams; i++) {
        again += retransmits(fds[i]);
        close(fds[i]);
    }
    printf("{\"retransmits\": %u}\n", again);
}

static void receive_streams(uint16_t port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event events[EVENTS];
    int listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0), on = 1;
    unsigned open = 0;
    uint64_t bytes = 0;
    double start = 0;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&any, sizeof any) < 0 ||
        listen(listener, STREAMS_MAX) < 0)
        err(1, "listening on port %u", port);
    watch(poll, listener, EPOLLIN);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                watch(poll, accept4(fd, NULL, NULL, SOCK_NONBLOCK), EPOLLIN);
                if (open++ == 0) {
                    bytes = 0;
                    start = now();
                }
                continue;
            }
            ssize_t length = read(fd, block, BLOCK);
            if (length > 0) {
                bytes += (uint64_t)length;
            } else if (length == 0 || errno != EAGAIN) {
                close(fd);
                if (--open == 0) {
                    printf("{\"bytes\": %llu, \"seconds\": %.6f}\n", (unsigned long long)bytes,
                           now() - start);
                    fflush(stdout);
                }
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "send") == 0)
        send_streams(argv[2], (uint16_t)atoi(argv[3]), (unsigned)atoi(argv[4]),
                     atoi(argv[5]) / 1e3);
    else if (argc == 3 && strcmp(argv[1], "sink") == 0)
        receive_streams((uint16_t)atoi(argv[2]));
    else
        errx(2, "usage: tcp send ADDRESS PORT STREAMS MILLISECONDS | tcp sink PORT");
}
