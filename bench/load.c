/*
 * UDP traffic for the bench: a generator, a sink that counts, and request-response. Many datagrams per system call on
 * both sides, so that what is between them is what is measured.
 *
 *   load send ADDRESS[,ADDRESS…] PORT BYTES FLOWS RATE MILLISECONDS RUN
 *       RATE datagrams a second in all (0: as many as go), each flow from a port of its own, to the addresses in turn.
 *       RUN datagrams, 1 to 64, are handed over at once with UDP_SEGMENT. Prints what was sent.
 *   load sink PORT
 *       For each line on standard input: once nothing more comes, prints what came of the latest `send`.
 *   load ask ADDRESS PORT BYTES MILLISECONDS
 *       One request after the other, each sent when the one before was answered. Prints round trips in microseconds.
 *   load echo PORT
 *       Answers them.
 *   load awake MILLISECONDS
 *       Keeps every processor from sleeping, at a priority that gives way to everything at once: in a virtual machine, to
 *       wake one may take longer than all of the rest.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    FLOWS_MAX = 256,
    BATCH = 64, /* datagrams of one flow in one go */
    DATAGRAM_MAX = 9000,
    RUN_MAX = 65000, /* bytes */
    TICK_NS = 100000,
    BACKLOG_TICKS = 20, /* a sender that was held up catches up with no more */
    SOCKET_BUFFER = 64 << 20,
    QUIET_MS = 30,
    PATIENCE_MS = 200,
    MESSAGES = 32,
    MESSAGE_MAX = 65536,
    ROUND_TRIPS_MAX = 1 << 20,
};

/* The start of each datagram. */
struct stamp {
    uint64_t run; /* when its `send` began: CLOCK_MONOTONIC, the same in every namespace */
    uint32_t flow;
    uint32_t sequence;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int open_client(const char *address, const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int size = SOCKET_BUFFER, fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        err(1, "sending to %s", address);
    return fd;
}

static int open_server(const char *port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int size = SOCKET_BUFFER, fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0 ||
        bind(fd, (struct sockaddr *)&any, sizeof any) < 0)
        err(1, "receiving on port %s", port);
    return fd;
}

static void ready(void)
{
    puts("ready");
    fflush(stdout);
}

/* --- send ----------------------------------------------------------------------------------------------------- */

static uint8_t outgoing[BATCH * DATAGRAM_MAX];

/* Sends n datagrams of a flow, `run` in one piece. Returns how many the kernel took. */
static unsigned send_burst(int fd, struct stamp *stamp, unsigned n, size_t bytes, unsigned run)
{
    struct mmsghdr messages[BATCH] = {0};
    struct iovec pieces[BATCH];
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++, stamp->sequence++)
        memcpy(outgoing + i * bytes, stamp, sizeof *stamp);
    for (unsigned first = 0; first < n; first += run, count++) {
        unsigned length = n - first < run ? n - first : run;
        pieces[count] = (struct iovec){outgoing + first * bytes, length * bytes};
        messages[count].msg_hdr.msg_iov = &pieces[count];
        messages[count].msg_hdr.msg_iovlen = 1;
    }
    int taken = sendmmsg(fd, messages, count, 0);
    if (taken < 0 && errno != ENOBUFS && errno != ECONNREFUSED)
        err(1, "sendmmsg");
    return taken < 0 ? 0 : (unsigned)taken == count ? n : (unsigned)taken * run;
}

static void sleep_until(uint64_t due)
{
    struct timespec time = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static unsigned open_flows(char *addresses, const char *port, unsigned flows, int *fds)
{
    char *list[FLOWS_MAX];
    unsigned n = 0;
    for (char *at = strtok(addresses, ","); at != NULL && n < FLOWS_MAX; at = strtok(NULL, ","))
        list[n++] = at;
    for (unsigned i = 0; i < flows; i++)
        fds[i] = open_client(list[i % n], port);
    return n;
}

static void load_send(char **arguments)
{
    size_t bytes = (size_t)atoi(arguments[2]);
    unsigned flows = (unsigned)atoi(arguments[3]), run = (unsigned)atoi(arguments[6]);
    double rate = atof(arguments[4]), credit = 0;
    uint64_t start = now_ns(), end = start + (uint64_t)atoi(arguments[5]) * 1000000u;
    uint64_t sent = 0, last = start;
    int fds[FLOWS_MAX], segment = (int)bytes;
    struct stamp stamps[FLOWS_MAX];
    if (bytes < sizeof(struct stamp) || bytes > DATAGRAM_MAX || flows < 1 || flows > FLOWS_MAX ||
        run < 1 || run > BATCH)
        errx(2, "a number is out of range");
    if (run * bytes > RUN_MAX)
        run = (unsigned)(RUN_MAX / bytes);
    open_flows(arguments[0], arguments[1], flows, fds);
    for (unsigned i = 0; i < flows; i++) {
        stamps[i] = (struct stamp){.run = start, .flow = i};
        if (run > 1 && setsockopt(fds[i], SOL_UDP, UDP_SEGMENT, &segment, sizeof segment) < 0)
            err(1, "UDP_SEGMENT");
    }
    prctl(PR_SET_TIMERSLACK, 1);
    unsigned flow = 0;
    for (uint64_t now = start; now < end; last = now, now = now_ns()) {
        credit += rate * (double)(now - last) / 1e9;
        if (credit > rate * TICK_NS * BACKLOG_TICKS / 1e9)
            credit = rate * TICK_NS * BACKLOG_TICKS / 1e9;
        unsigned owed = rate == 0 ? BATCH * flows : (unsigned)credit;
        unsigned share = (owed + flows - 1) / flows;
        credit -= owed;
        while (owed > 0) {
            unsigned n = share < owed ? share : owed;
            n = n < BATCH ? n : BATCH;
            sent += send_burst(fds[flow], &stamps[flow], n, bytes, run);
            owed -= n;
            flow = (flow + 1) % flows;
        }
        if (rate != 0)
            sleep_until(now + TICK_NS);
    }
    printf("{\"run\": %llu, \"sent\": %llu, \"seconds\": %.6f}\n", (unsigned long long)start / 1000,
           (unsigned long long)sent, (double)(now_ns() - start) / 1e9);
}

/* --- sink ----------------------------------------------------------------------------------------------------- */

/* What came of the latest run. */
static struct {
    uint64_t run, received;
    uint64_t last;      /* when its latest datagram was taken */
    uint64_t reordered; /* behind a later one of its flow, or a second time */
    uint32_t next[FLOWS_MAX];
} seen;
static uint32_t overflows; /* of the sink's own socket, since it was opened */
static uint8_t incoming[MESSAGES][MESSAGE_MAX];

static void take_datagram(const uint8_t *data, uint64_t now)
{
    struct stamp stamp;
    memcpy(&stamp, data, sizeof stamp);
    if (stamp.run < seen.run || stamp.flow >= FLOWS_MAX)
        return;
    if (stamp.run > seen.run) {
        memset(&seen, 0, sizeof seen);
        seen.run = stamp.run;
    }
    seen.received++;
    seen.last = now;
    if (stamp.sequence < seen.next[stamp.flow])
        seen.reordered++;
    else
        seen.next[stamp.flow] = stamp.sequence + 1;
}

static size_t segment_size(struct msghdr *message, size_t len)
{
    int size = (int)len;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&size, CMSG_DATA(c), sizeof size);
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
            memcpy(&overflows, CMSG_DATA(c), sizeof overflows);
    }
    return (size_t)size;
}

static void take_messages(int fd)
{
    static struct mmsghdr messages[MESSAGES];
    static struct iovec pieces[MESSAGES];
    static uint8_t control[MESSAGES][128];
    for (unsigned i = 0; i < MESSAGES; i++) {
        pieces[i] = (struct iovec){incoming[i], MESSAGE_MAX};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i],
                                              .msg_iovlen = 1,
                                              .msg_control = control[i],
                                              .msg_controllen = sizeof control[i]};
    }
    int n = recvmmsg(fd, messages, MESSAGES, MSG_DONTWAIT, NULL);
    uint64_t now = now_ns();
    for (int i = 0; i < n; i++) {
        size_t len = messages[i].msg_len, size = segment_size(&messages[i].msg_hdr, len);
        for (size_t at = 0; at + sizeof(struct stamp) <= len; at += size)
            take_datagram(incoming[i] + at, now);
    }
}

static void load_sink(char **arguments)
{
    int on = 1, fd = open_server(arguments[0]);
    if (setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on) < 0)
        err(1, "setsockopt");
    struct pollfd waits[] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    bool asked = false;
    char line[64];
    ready();
    for (;;) {
        if (poll(waits, 2, asked ? QUIET_MS : -1) == 0) {
            printf("{\"run\": %llu, \"received\": %llu, \"reordered\": %llu, \"overflows\": %u, "
                   "\"seconds\": %.6f}\n",
                   (unsigned long long)seen.run / 1000, (unsigned long long)seen.received,
                   (unsigned long long)seen.reordered, overflows,
                   (double)(seen.last - seen.run) / 1e9);
            fflush(stdout);
            asked = false;
        }
        if (waits[0].revents != 0)
            take_messages(fd);
        if (waits[1].revents != 0) {
            if (read(0, line, sizeof line) <= 0)
                return;
            asked = true;
        }
    }
}

/* --- ask and echo --------------------------------------------------------------------------------------------- */

static void load_echo(char **arguments)
{
    int fd = open_server(arguments[0]);
    ready();
    for (;;) {
        struct sockaddr_in from;
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(fd, incoming[0], MESSAGE_MAX, 0, (struct sockaddr *)&from, &from_len);
        if (n >= 0)
            sendto(fd, incoming[0], (size_t)n, 0, (struct sockaddr *)&from, from_len);
    }
}

static uint32_t round_trips[ROUND_TRIPS_MAX]; /* ns */

static int by_value(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void load_ask(char **arguments)
{
    int fd = open_client(arguments[0], arguments[1]);
    size_t bytes = (size_t)atoi(arguments[2]), n = 0, lost = 0;
    struct timeval patience = {.tv_usec = PATIENCE_MS * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    uint64_t start = now_ns(), end = start + (uint64_t)atoi(arguments[3]) * 1000000u;
    for (uint64_t sent = start, now; sent < end && n < ROUND_TRIPS_MAX; sent = now) {
        bool answered = send(fd, outgoing, bytes, 0) >= 0 && recv(fd, incoming[0], bytes, 0) >= 0;
        now = now_ns();
        if (answered)
            round_trips[n++] = (uint32_t)(now - sent);
        else
            lost++;
    }
    if (n == 0)
        errx(1, "no answer");
    qsort(round_trips, n, sizeof *round_trips, by_value);
    printf("{\"answers\": %zu, \"lost\": %zu, \"p50\": %.2f, \"p99\": %.2f}\n", n, lost,
           round_trips[n / 2] / 1e3, round_trips[n * 99 / 100] / 1e3);
}

/* --- awake ---------------------------------------------------------------------------------------------------- */

static void load_awake(char **arguments)
{
    uint64_t end = now_ns() + (uint64_t)atoi(arguments[0]) * 1000000u;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    for (long i = 0; i < processors; i++) {
        if (fork() != 0)
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET((size_t)i, &one);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (sched_setaffinity(0, sizeof one, &one) < 0 ||
            sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}) < 0)
            err(1, "processor %ld", i);
        while (now_ns() < end)
            ;
        return;
    }
    ready();
    while (wait(NULL) > 0)
        ;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int arguments;
        void (*run)(char **arguments);
    } verbs[] = {{"send", 7, load_send},
                 {"sink", 1, load_sink},
                 {"ask", 4, load_ask},
                 {"echo", 1, load_echo},
                 {"awake", 1, load_awake}};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (argc > 1 && strcmp(argv[1], verbs[i].name) == 0 && argc == verbs[i].arguments + 2) {
            verbs[i].run(argv + 2);
            return 0;
        }
    errx(2, "usage: see the head of bench/load.c");
}
