/*
 * Traffic for the comparison, and the sink behind it. Inner packets are IPv4 with UDP; a forwarder gets them either
 * as datagrams to its port (`relay`) or as packets to route into its TUN (`route`). It sends them back as VXLAN
 * datagrams to port 8472, where this program is bound.
 *
 *   traffic flood relay|route|super ADDRESS PORT BYTES MILLISECONDS PID
 *       as many as go, to a sink that nobody reads: datagrams delivered, and the CPU time of process PID meanwhile.
 *       `super` routes UDP_SEGMENT super-packets, as an application with large sends does.
 *   traffic probe relay|route ADDRESS PORT BYTES MILLISECONDS
 *       5 000 a second, each with the time it was sent: how long they were on their way, in microseconds
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../native/core/checksum.h"
#include "../../native/core/ip.h"
#include "../../native/core/vxlan.h"

enum {
    DESTINATIONS = 256,
    PACKET_MAX = 1500,
    INNER_HEADERS = IPV4_HEADER + UDP_HEADER,
    SEND_BATCH = 32,
    SUPER_SEGMENTS = 46,
    SINK_PORT = 8472,
    WARM_UP_MS = 150,
    QUIET_MS = 30,
    PATIENCE_MS = 300,
    PROBE_INTERVAL_NS = 200000,
    PROBES_MAX = 1 << 16,
};

static uint8_t packets[DESTINATIONS][PACKET_MAX];
static uint8_t super_payload[SUPER_SEGMENTS * PACKET_MAX];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Whole inner packets for a relay: to 10.5.0.9 … 10.5.255.9. */
static void write_packets(unsigned bytes)
{
    for (unsigned i = 0; i < DESTINATIONS; i++) {
        const uint8_t header[IPV4_HEADER] = {
            0x45, 0, (uint8_t)(bytes >> 8), (uint8_t)bytes, 0, 0, 0x40, 0, 64, PROTO_UDP, 0, 0,
            10,   9, 0, 1, 10, 5, (uint8_t)i, 9};
        memcpy(packets[i], header, sizeof header);
        put16(packets[i] + 10, csum_finish(csum_bytes(header, sizeof header)));
        put16(packets[i] + IPV4_HEADER + 4, bytes - IPV4_HEADER);
    }
}

static int open_source(const char *address, unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        err(1, "sending to %s", address);
    return fd;
}

static int open_sink(int receive_buffer)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(SINK_PORT)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer) < 0 ||
        bind(fd, (struct sockaddr *)&any, sizeof any) < 0)
        err(1, "receiving on port %d", SINK_PORT);
    return fd;
}

/* --- flood ---------------------------------------------------------------------------------------------------- */

struct snapshot {
    uint64_t time_ns;
    unsigned long delivered;
    double cpu_seconds;
};

/*
 * Datagrams that reached the sink: nobody reads it, so once it is full each of them is counted as a receive buffer
 * error, after any super-packet was cut into its datagrams.
 */
static unsigned long delivered(void)
{
    char line[512];
    unsigned long errors = 0;
    FILE *file = fopen("/proc/thread-self/net/snmp", "r");
    if (file == NULL)
        err(1, "/proc/thread-self/net/snmp");
    while (fgets(line, sizeof line, file) != NULL)
        sscanf(line, "Udp: %*u %*u %*u %*u %lu", &errors);
    fclose(file);
    return errors;
}

static double cpu_seconds(int pid)
{
    char path[64];
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL ||
        fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &kernel) != 2)
        err(1, "%s", path);
    fclose(file);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static struct snapshot take_snapshot(int pid)
{
    return (struct snapshot){now_ns(), delivered(), cpu_seconds(pid)};
}

static void send_until(int fd, struct mmsghdr *messages, unsigned n, uint64_t end)
{
    for (unsigned first = 0; now_ns() < end; first = (first + SEND_BATCH) % n)
        sendmmsg(fd, messages + first, SEND_BATCH, 0);
}

/* What a forwarder still holds must not count as the next one's. */
static void wait_for_quiet(void)
{
    const struct timespec quiet = {.tv_nsec = QUIET_MS * 1000000};
    for (unsigned long before = 0, after = delivered(); after != before; after = delivered()) {
        before = after;
        nanosleep(&quiet, NULL);
    }
}

static void flood(const char *way, int fd, unsigned bytes, unsigned milliseconds, int pid)
{
    struct mmsghdr messages[DESTINATIONS] = {0};
    struct iovec pieces[DESTINATIONS];
    bool super = strcmp(way, "super") == 0;
    bool whole = strcmp(way, "relay") == 0;
    int segment = (int)bytes - INNER_HEADERS;
    if (super && setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment) < 0)
        err(1, "UDP_SEGMENT");
    for (unsigned i = 0; i < DESTINATIONS; i++) {
        pieces[i] = super   ? (struct iovec){super_payload, SUPER_SEGMENTS * (size_t)segment}
                    : whole ? (struct iovec){packets[i], bytes}
                            : (struct iovec){packets[i], (size_t)segment};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    open_sink(0);
    send_until(fd, messages, DESTINATIONS, now_ns() + WARM_UP_MS * 1000000u);
    struct snapshot before = take_snapshot(pid);
    send_until(fd, messages, DESTINATIONS, before.time_ns + milliseconds * 1000000ull);
    struct snapshot after = take_snapshot(pid);
    wait_for_quiet();
    printf("{\"datagrams\": %lu, \"seconds\": %.6f, \"cpuSeconds\": %.3f}\n",
           after.delivered - before.delivered, (double)(after.time_ns - before.time_ns) / 1e9,
           after.cpu_seconds - before.cpu_seconds);
}

/* --- probe ---------------------------------------------------------------------------------------------------- */

static uint64_t delays[PROBES_MAX];
static size_t delay_count;

/* Ends when nothing has come for longer than a forwarder holds a packet. */
static void *receive_probes(void *argument)
{
    uint8_t datagram[PACKET_MAX + VXLAN_OVERHEAD];
    int fd = *(int *)argument;
    struct timeval patience = {.tv_usec = PATIENCE_MS * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while (delay_count < PROBES_MAX && recv(fd, datagram, sizeof datagram, 0) > 0) {
        uint64_t sent;
        memcpy(&sent, datagram + VXLAN_OVERHEAD + INNER_HEADERS, sizeof sent);
        delays[delay_count++] = now_ns() - sent;
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double delay_us(double quantile)
{
    return (double)delays[(size_t)((double)(delay_count - 1) * quantile)] / 1e3;
}

static void probe(bool whole, int fd, unsigned bytes, unsigned milliseconds)
{
    int sink = open_sink(8 << 20);
    pthread_t receiver;
    if (pthread_create(&receiver, NULL, receive_probes, &sink) != 0)
        errx(1, "pthread_create");
    uint64_t next = now_ns(), end = next + milliseconds * 1000000ull;
    unsigned sent = 0;
    for (; next < end; next += PROBE_INTERVAL_NS, sent++) {
        struct timespec due = {(time_t)(next / 1000000000u), (long)(next % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        uint8_t *packet = packets[sent % DESTINATIONS] + (whole ? 0 : INNER_HEADERS);
        uint64_t now = now_ns();
        memcpy(packet + (whole ? INNER_HEADERS : 0), &now, sizeof now);
        send(fd, packet, bytes - (whole ? 0 : INNER_HEADERS), 0);
    }
    pthread_join(receiver, NULL);
    if (delay_count == 0)
        errx(1, "nothing came back");
    qsort(delays, delay_count, sizeof *delays, by_value);
    printf("{\"sent\": %u, \"received\": %zu, \"p50\": %.1f, \"p99\": %.1f, \"max\": %.1f}\n", sent,
           delay_count, delay_us(0.5), delay_us(0.99), delay_us(1));
}

int main(int argc, char **argv)
{
    if (argc < 7)
        errx(2, "usage: flood WAY ADDRESS PORT BYTES MILLISECONDS PID | probe WAY … MILLISECONDS");
    unsigned bytes = (unsigned)atoi(argv[5]), milliseconds = (unsigned)atoi(argv[6]);
    if (bytes < INNER_HEADERS + sizeof(uint64_t) || bytes > PACKET_MAX)
        errx(2, "a packet has 36 to %d bytes", PACKET_MAX);
    write_packets(bytes);
    int fd = open_source(argv[3], (unsigned)atoi(argv[4]));
    if (strcmp(argv[1], "flood") == 0 && argc == 8)
        flood(argv[2], fd, bytes, milliseconds, atoi(argv[7]));
    else
        probe(strcmp(argv[2], "relay") == 0, fd, bytes, milliseconds);
}
