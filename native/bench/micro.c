/*
 * What the pieces of core/ cost, without any I/O: prints one line of JSON, nanoseconds by name. Each figure is the
 * best of some repetitions, since whatever else the machine does can only add to it. Packets are warm, as they are
 * for a worker that has just read them.
 *
 *   syscall                    an empty system call: how fast this machine is
 *   fib-N                      one lookup among N routes, for addresses at random
 *   tables-10k                 tables of 10 000 routes, from rows
 *   checksum-N                 per 1024 bytes, of N at once
 *   tx-FORMAT-N, rx-FORMAT-N   a UDP packet of N bytes
 *   tx-FORMAT-super            a TCP super-packet of 64 KB, cut to packets of 1400 bytes
 *   rx-FORMAT-gro              a TCP packet of 1400 bytes, coalesced with its like
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../core/checksum.h"
#include "../core/gro.h"
#include "../test/bed.h"

enum {
    REPETITIONS = 7,
    REPETITION_NS = 10000000,
    LOOKUPS = 1 << 16,
    PACKETS = 46,
    MSS = BED_MTU - IPV4_HEADER - TCP_HEADER,
    SUPER = PACKETS * MSS,
};

/* Where results go, so that the compiler computes them. */
static volatile uint64_t sink;

/* The beds' own checks: here they only must not fail. */
bool check_that(bool holds, const char *what, const char *file, int line)
{
    if (!holds)
        errx(1, "%s:%d: %s", file, line, what);
    return true;
}

bool check_equal(uint64_t actual, uint64_t expected, const char *what, const char *file, int line)
{
    return check_that(actual == expected, what, file, line);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Prints what one of the `items` costs that a call of `run` handles; `restore`, which may be null, is not timed. */
static void report(const char *name, void (*run)(void *), void (*restore)(void *), void *of,
                   double items)
{
    static const char *before = "{";
    double best = 1e18;
    for (int i = 0; i < REPETITIONS; i++) {
        uint64_t spent = 0, calls = 0;
        for (; spent < REPETITION_NS; calls++) {
            if (restore != NULL)
                restore(of);
            uint64_t start = now_ns();
            run(of);
            spent += now_ns() - start;
        }
        double cost = (double)spent / (double)calls / items;
        best = cost < best ? cost : best;
    }
    printf("%s\"%s\": %.2f", before, name, best);
    before = ", ";
}

/* --- system calls, checksums ---------------------------------------------------------------------------------- */

static void call_system(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++)
        syscall(SYS_getppid);
}

struct bytes_of {
    uint8_t *data;
    size_t len;
};

static void sum_bytes(void *of)
{
    const struct bytes_of *bytes = of;
    for (int i = 0; i < 100; i++)
        sink += csum_bytes(bytes->data, bytes->len);
}

/* --- routes --------------------------------------------------------------------------------------------------- */

struct lookups {
    struct fib *fib;
    uint8_t addresses[LOOKUPS][4];
};

static void look_up(void *of)
{
    const struct lookups *l = of;
    uint64_t sum = 0;
    for (int i = 0; i < LOOKUPS; i++)
        sum += fib_lookup(l->fib, 4, l->addresses[i]);
    sink += sum;
}

/* Prefixes at random in 10.0.0.0/8, of 20 to 28 bits, or the /24s of 10.42.0.0/16. */
static void draw_prefix(uint8_t *prefix, uint8_t *length, size_t i, bool spread)
{
    *length = spread ? (uint8_t)(20 + random_below(9)) : 24;
    uint32_t address = spread ? 10u << 24 | random_below(1 << 24) : 0x0a2a0000u | (uint32_t)i << 8;
    put32(prefix, address & ~0u << (32 - *length));
}

static void report_lookups(const char *name, size_t n)
{
    struct fib_route *routes = calloc(n, sizeof *routes);
    struct lookups *l = calloc(1, sizeof *l);
    if (routes == NULL || l == NULL)
        err(1, "calloc");
    for (size_t i = 0; i < n; i++) {
        routes[i].family = 4;
        routes[i].result = (uint32_t)i;
        draw_prefix(routes[i].prefix, &routes[i].length, i, n > 256);
    }
    for (size_t i = 0; i < LOOKUPS; i++) {
        const struct fib_route *route = &routes[random_below((uint32_t)n)];
        uint32_t host = random32() & ~(~0u << (32 - route->length));
        put32(l->addresses[i], get32(route->prefix) | host);
    }
    if ((l->fib = fib_build(routes, n)) == NULL)
        err(1, "fib_build");
    report(name, look_up, NULL, l, LOOKUPS);
    fib_free(l->fib);
    free(l);
    free(routes);
}

enum { ROWS = 10000 };

static void build_tables(void *of)
{
    struct self_row self = bed_self();
    struct peer_row peers[BED_PEERS];
    bed_peers(peers);
    struct tables *tables =
        tables_build(1, (uint8_t *)&self, sizeof self, (uint8_t *)peers, sizeof peers, of,
                     ROWS * sizeof(struct route_row), NULL, 1);
    if (tables == NULL)
        err(1, "tables_build");
    tables_free(tables, NULL);
}

static void report_tables(void)
{
    static struct route_row rows[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        rows[i].family = 4;
        rows[i].peer = (uint32_t)(i % BED_PEERS);
        draw_prefix(rows[i].prefix, &rows[i].length, i, true);
    }
    report("tables-10k", build_tables, NULL, rows, 1);
}

/* --- packets -------------------------------------------------------------------------------------------------- */

/* What a worker has in hand: packets, as they were before they were forwarded and where they are forwarded. */
struct work {
    struct bed *bed;
    struct gro gro;
    struct sample samples[PACKETS]; /* of rx: with what they came in */
    uint8_t *places[PACKETS];
    unsigned count;
    uint16_t mss;
};

static void put_back(void *of)
{
    struct work *w = of;
    for (unsigned i = 0; i < w->count; i++)
        memcpy(w->places[i], w->samples[i].data, w->samples[i].len);
}

static void forward_out(void *of)
{
    struct work *w = of;
    for (unsigned i = 0; i < w->count; i++) {
        struct packet p =
            w->mss != 0 ? super_packet(&w->samples[i], w->mss) : plain_packet(&w->samples[i]);
        p.data = w->places[i];
        if (forward_tx(&w->bed->f, &p) != DROP_NONE)
            errx(1, "dropped");
    }
    sendq_flush(&w->bed->queue);
}

static void forward_in(void *of)
{
    struct work *w = of;
    for (unsigned i = 0; i < w->count; i++) {
        struct datagram d = {.data = w->places[i], .len = w->samples[i].len};
        struct packet out;
        if (forward_rx(&w->bed->f, &w->bed->tables->peers[0], &d, &out) != DROP_NONE)
            errx(1, "dropped");
        count(&w->bed->counters, COUNTER_RX_FORWARDED, 1);
        if (w->gro.write != NULL)
            gro_receive(&w->gro, &out);
    }
    if (w->gro.write != NULL)
        gro_flush(&w->gro);
}

static void discard(void *owner, const struct packet *head, const struct iovec *tail, unsigned n)
{
    (void)owner, (void)head, (void)tail, (void)n;
}

static void add(struct work *w, struct sample s)
{
    w->places[w->count] = (uint8_t *)owned(HEADROOM + s.len) + HEADROOM;
    w->samples[w->count++] = s;
}

static struct sample in_frame(enum format format, struct sample s)
{
    struct bytes frame = bed_frame(0, &s);
    if (format == FORMAT_VXLAN)
        s.data = frame.data, s.len = frame.len;
    return s;
}

static void finish(struct work *w, const char *direction, const char *format, const char *what)
{
    char name[32];
    bool tx = strcmp(direction, "tx") == 0;
    snprintf(name, sizeof name, "%s-%s-%s", direction, format, what);
    report(name, tx ? forward_out : forward_in, put_back, w, w->count);
    bed_free(w->bed);
}

static void report_packets(enum format format, const char *name, size_t bytes)
{
    char what[16];
    struct spec udp = {.payload = bytes - IPV4_HEADER - UDP_HEADER};
    struct work out = {.bed = bed_new(format)}, in = {.bed = NULL};
    snprintf(what, sizeof what, "%zu", bytes);
    for (int i = 0; i < PACKETS; i++)
        add(&out, make_sample(&udp));
    finish(&out, "tx", name, what);
    udp.src = "10.42.2.5";
    udp.dst = "10.42.1.5";
    in.bed = bed_new(format);
    for (int i = 0; i < PACKETS; i++)
        add(&in, in_frame(format, make_sample(&udp)));
    finish(&in, "rx", name, what);
}

static void report_streams(enum format format, const char *name)
{
    struct spec tcp = {.proto = PROTO_TCP, .tcp_flags = 16 /* ACK */, .payload = SUPER};
    struct work out = {.bed = bed_new(format), .mss = MSS};
    struct work in = {.gro = {.udp = true, .write = discard}};
    add(&out, make_sample(&tcp));
    finish(&out, "tx", name, "super");
    tcp.src = "10.42.2.5";
    tcp.dst = "10.42.1.5";
    tcp.payload = MSS;
    in.bed = bed_new(format);
    for (unsigned i = 0; i < PACKETS; i++) {
        struct sample s = make_sample(&tcp);
        put16(s.data + 4, 1 + i);                 /* id */
        put32(s.data + s.upper + 4, 1 + i * MSS); /* sequence number */
        seal(&s);
        add(&in, in_frame(format, s));
    }
    finish(&in, "rx", name, "gro");
}

int main(void)
{
    static uint8_t data[1 << 16];
    static const struct {
        enum format format;
        const char *name;
    } formats[] = {{FORMAT_UDP, "udp"}, {FORMAT_VXLAN, "vxlan"}};
    owned_begin();
    random_bytes(data, sizeof data);
    report("syscall", call_system, NULL, NULL, 1000);
    report_lookups("fib-256", 256);
    report_lookups("fib-10k", 10000);
    report_lookups("fib-100k", 100000);
    report_tables();
    report("checksum-1400", sum_bytes, NULL, &(struct bytes_of){data, MSS}, 100 * MSS / 1024.0);
    report("checksum-64k", sum_bytes, NULL, &(struct bytes_of){data, sizeof data},
           100 * sizeof data / 1024.0);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        report_packets(formats[i].format, formats[i].name, 64);
        report_packets(formats[i].format, formats[i].name, 1400);
        report_streams(formats[i].format, formats[i].name);
    }
    puts("}");
    owned_end();
}
