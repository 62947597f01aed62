/*
 * The C11 side of the comparison: native/core's forward_tx, the daemon's own per-packet loop, in two harnesses.
 *
 *   forward-loop compute BYTES MILLISECONDS   packets in memory, no I/O: CPU time per packet, and one datagram
 *   forward-loop relay PORT SINK BATCH        UDP datagrams with inner packets in, VXLAN datagrams out to SINK:8472,
 *                                             with up to BATCH of them per system call
 *
 * bench/loop/forward-loop.ts and relay.ts do the same work in TypeScript.
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "../../native/core/checksum.h"
#include "../../native/core/forward.h"
#include "../../native/core/vxlan.h"

enum {
    ROUTES = 256,       /* 10.5.0.0/24 to 10.5.255.0/24, one peer each */
    SLOT = 2112,        /* of a packet and its headroom; no power of two, which would crowd a few cache lines */
    PASSES = 200,       /* over all packets, until their TTL must be restored */
    BATCH_MAX = 32,
    SINK_PORT = 8472,
    RECEIVE_BUFFER = 8 << 20,
};

static struct counters counters;
static struct sendq queue;
static struct forward forward = {
    .format = FORMAT_VXLAN,
    .counters = &counters,
    .queue = &queue,
};
static uint8_t buffer[ROUTES * SLOT];

static void build_tables(void)
{
    static struct peer_row peers[ROUTES];
    static struct route_row routes[ROUTES];
    struct self_row self = {.vni = 1, .mtu = 1450, .mac = {{2, 0, 0, 0, 1, 0}}};
    for (unsigned i = 0; i < ROUTES; i++) {
        peers[i] = (struct peer_row){
            .address = {[10] = 0xff, 0xff, 192, 0, 2, (uint8_t)i},
            .node = i,
            .mac = {2, 0, 0, 0, 0, (uint8_t)i},
        };
        routes[i] = (struct route_row){
            .prefix = {10, 5, (uint8_t)i}, .peer = i, .family = 4, .length = 24};
    }
    forward.tables = tables_build(1, (uint8_t *)&self, sizeof self, (uint8_t *)peers, sizeof peers,
                                  (uint8_t *)routes, sizeof routes, NULL, 1);
    if (forward.tables == NULL)
        err(1, "tables_build");
}

/* --- compute -------------------------------------------------------------------------------------------------- */

static void write_packet(uint8_t *data, unsigned route, unsigned bytes)
{
    const uint8_t header[IPV4_HEADER] = {
        0x45, 0, (uint8_t)(bytes >> 8), (uint8_t)bytes, 0, 0, 0x40, 0, 255, PROTO_UDP, 0, 0,
        10,   9, 0, 1, 10, 5, (uint8_t)route, 9};
    memcpy(data, header, sizeof header);
    put16(data + 10, csum_finish(csum_bytes(data, sizeof header)));
}

static void write_packets(unsigned bytes)
{
    for (unsigned i = 0; i < ROUTES; i++)
        write_packet(buffer + i * SLOT + HEADROOM, i, bytes);
}

static void forget(void *owner)
{
    (void)owner;
}

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void forward_all(unsigned bytes)
{
    for (unsigned i = 0; i < ROUTES; i++) {
        struct packet p = {.data = buffer + i * SLOT + HEADROOM, .len = bytes};
        forward_tx(&forward, &p);
    }
}

static void compute(unsigned bytes, unsigned milliseconds)
{
    double spent = 0;
    unsigned long packets = 0;
    queue.send = forget;
    queue.owner = &queue;
    while (spent < milliseconds / 1e3) {
        write_packets(bytes);
        double start = cpu_seconds();
        for (unsigned i = 0; i < PASSES; i++)
            forward_all(bytes);
        spent += cpu_seconds() - start;
        packets += PASSES * ROUTES;
    }
    for (unsigned reason = 0; reason < DROP_COUNT; reason++)
        if (counters.drops[DIRECTION_TX][reason] != 0)
            errx(1, "a packet was dropped for reason %u", reason);
    write_packets(bytes);
    forward_all(bytes);
    const uint8_t *last = buffer + (ROUTES - 1) * SLOT + HEADROOM - VXLAN_OVERHEAD;
    printf("{\"nanoseconds\": %.2f, \"datagram\": \"", spent * 1e9 / (double)packets);
    for (unsigned i = 0; i < VXLAN_OVERHEAD + bytes; i++)
        printf("%02x", last[i]);
    printf("\"}\n");
}

/* --- relay ---------------------------------------------------------------------------------------------------- */

static int out_fd;

/* One sendmmsg for all that one receive brought. What is refused is lost, and missing at the sink. */
static void send_all(void *owner)
{
    struct sendq *q = owner;
    struct mmsghdr messages[SENDQ_RUNS] = {0};
    for (size_t i = 0; i < q->run_count; i++) {
        messages[i].msg_hdr.msg_iov = &q->pieces[q->runs[i].first_piece];
        messages[i].msg_hdr.msg_iovlen = q->runs[i].pieces;
    }
    if (q->run_count > 0)
        sendmmsg(out_fd, messages, (unsigned)q->run_count, 0);
}

static int open_receiver(unsigned port)
{
    int size = RECEIVE_BUFFER;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) < 0 ||
        bind(fd, (struct sockaddr *)&any, sizeof any) < 0)
        err(1, "receiving on port %u", port);
    return fd;
}

static int open_sender(const char *sink)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(SINK_PORT)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (inet_pton(AF_INET, sink, &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        err(1, "sending to %s", sink);
    return fd;
}

static void relay(unsigned port, const char *sink, unsigned batch)
{
    struct mmsghdr messages[BATCH_MAX] = {0};
    struct iovec pieces[BATCH_MAX];
    int in_fd = open_receiver(port);
    out_fd = open_sender(sink);
    queue.send = send_all;
    queue.owner = &queue;
    queue.max_datagrams = 1;
    for (unsigned i = 0; i < batch; i++) {
        pieces[i] = (struct iovec){buffer + i * SLOT + HEADROOM, SLOT - HEADROOM};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = recvmmsg(in_fd, messages, batch, MSG_WAITFORONE, NULL);
        if (n < 0)
            err(1, "recvmmsg");
        for (int i = 0; i < n; i++) {
            struct packet p = {.data = pieces[i].iov_base, .len = messages[i].msg_len};
            forward_tx(&forward, &p);
        }
        sendq_flush(&queue);
    }
}

int main(int argc, char **argv)
{
    build_tables();
    if (argc == 4 && strcmp(argv[1], "compute") == 0) {
        compute((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
    } else if (argc == 5 && strcmp(argv[1], "relay") == 0) {
        unsigned batch = (unsigned)atoi(argv[4]);
        if (batch < 1 || batch > BATCH_MAX)
            errx(2, "a batch is 1 to %d", BATCH_MAX);
        relay((unsigned)atoi(argv[2]), argv[3], batch);
    } else {
        errx(2, "usage: compute BYTES MILLISECONDS | relay PORT SINK BATCH");
    }
}
