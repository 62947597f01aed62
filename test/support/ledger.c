/*
 * Traffic that accounts for itself: each packet says who it is (ledger.h), so the receiver knows of every single one
 * whether it came, once or more often, whole, in order, and how late.
 *
 *   ledger send ADDRESS PORT FLOWS PER_SECOND SIZE MILLISECONDS
 *       sends SIZE bytes of UDP payload so many times a second, in turn from FLOWS source ports, until a line comes
 *       in or the time is up; then prints how many of each flow the kernel took, and how many calls it refused.
 *       What the sender missed because it did not get the processor is not made up for.
 *   ledger receive PORT
 *       a line of numbers, how many packets of flow 0, 1, … were sent, is answered with the account of these.
 */
#define _GNU_SOURCE
#include "ledger.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 32, BUFFER = 64 * 1024 * 1024, FIRST_SOURCE_PORT = 20000, CATCH_UP_MS = 5 };

static int open_socket(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = BUFFER, on = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) < 0)
        err(1, "UDP port %u", port);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on) < 0)
        err(1, "setsockopt");
    return fd;
}

static bool input_waits(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

/* --- sending -------------------------------------------------------------------------------------------------- */

static void fill(uint8_t *data, size_t size, uint32_t flow, uint64_t sequence)
{
    struct ledger_packet head = {
        .magic = LEDGER_MAGIC, .flow = flow, .sequence = sequence, .sent_ns = ledger_now_ns()};
    memset(data, (int)(ledger_mix(sequence) & 0xff), size);
    memcpy(data, &head, sizeof head);
    head.sum = ledger_sum(data, size);
    memcpy(data, &head, sizeof head);
}

static void send_all(char **arguments)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(arguments[1]))};
    uint32_t flows = (uint32_t)atoi(arguments[2]), flow = 0;
    uint64_t per_second = strtoull(arguments[3], NULL, 10);
    size_t size = (size_t)atoi(arguments[4]);
    uint64_t duration = strtoull(arguments[5], NULL, 10) * 1000000;
    static uint8_t data[BATCH][LEDGER_SIZE_MAX];
    uint64_t sent[LEDGER_FLOWS] = {0}, refused = 0, done = 0;
    int fds[LEDGER_FLOWS];
    struct iovec pieces[BATCH];
    struct mmsghdr messages[BATCH] = {0};

    if (inet_pton(AF_INET, arguments[0], &to.sin_addr) != 1 || flows < 1 || flows > LEDGER_FLOWS ||
        size < sizeof(struct ledger_packet) || size > LEDGER_SIZE_MAX)
        errx(2, "bad address, number of flows or size");
    for (uint32_t i = 0; i < flows; i++)
        fds[i] = open_socket((uint16_t)(FIRST_SOURCE_PORT + i));
    for (size_t i = 0; i < BATCH; i++) {
        pieces[i] = (struct iovec){data[i], size};
        /* Not connected: ICMP errors are then no errors of later sends. */
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    uint64_t begin = ledger_now_ns(), end = begin + duration;
    uint64_t debt_max = per_second * CATCH_UP_MS / 1000 + 1;
    for (uint64_t now = begin; now < end && !input_waits(); now = ledger_now_ns()) {
        uint64_t due = (now - begin) * per_second / 1000000000u;
        if (due <= done) {
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
            continue;
        }
        if (due - done > debt_max)
            done = due - debt_max;
        unsigned n = due - done < BATCH ? (unsigned)(due - done) : BATCH;
        for (unsigned i = 0; i < n; i++)
            fill(data[i], size, flow, sent[flow] + i);
        int taken = sendmmsg(fds[flow], messages, n, 0);
        if (taken < 0) {
            refused++;
            taken = 0;
        }
        sent[flow] += (uint64_t)taken;
        done += n;
        flow = (flow + 1) % flows;
    }
    printf("{\"milliseconds\":%.3f,\"refused\":%llu,\"sent\":[",
           (double)(ledger_now_ns() - begin) / 1e6, (unsigned long long)refused);
    for (uint32_t i = 0; i < flows; i++)
        printf("%s%llu", i == 0 ? "" : ",", (unsigned long long)sent[i]);
    printf("]}\n");
}

/* --- receiving ------------------------------------------------------------------------------------------------ */

/* What came of one flow. */
struct flow {
    uint8_t *seen; /* a bit per sequence number */
    uint64_t capacity;
    uint64_t distinct;
    uint64_t next; /* the highest sequence number seen, plus one */
};

enum { LATE_BUCKETS = 64 * 8 };

static struct {
    struct flow flows[LEDGER_FLOWS];
    uint64_t packets, duplicated, corrupt, reordered, late_max_ns, silence_ns, last_ns;
    uint64_t late[LATE_BUCKETS]; /* eight per power of two of nanoseconds */
    uint32_t overflows;
} account;

static size_t late_bucket(uint64_t ns)
{
    unsigned power = 63 - (unsigned)__builtin_clzll(ns | 8);
    return power * 8 + ((ns >> (power - 3)) & 7);
}

/* So late are `share` of the packets at most: the end of their bucket, or the latest. */
static uint64_t late_quantile(double share)
{
    uint64_t sum = 0, end = 0;
    for (size_t i = 0; i < LATE_BUCKETS && (double)sum < share * (double)account.packets; i++) {
        sum += account.late[i];
        end = ((8 + i % 8 + 1) << (i / 8)) / 8;
    }
    return end < account.late_max_ns ? end : account.late_max_ns;
}

/* Whether it is new. */
static bool mark(struct flow *flow, uint64_t sequence)
{
    if (sequence >= flow->capacity) {
        uint64_t capacity = flow->capacity == 0 ? 1 << 16 : flow->capacity;
        while (capacity <= sequence)
            capacity *= 2;
        flow->seen = realloc(flow->seen, capacity / 8);
        if (flow->seen == NULL)
            err(1, "out of memory");
        memset(flow->seen + flow->capacity / 8, 0, (capacity - flow->capacity) / 8);
        flow->capacity = capacity;
    }
    uint8_t bit = (uint8_t)(1u << (sequence % 8));
    bool is_new = !(flow->seen[sequence / 8] & bit);
    flow->seen[sequence / 8] |= bit;
    return is_new;
}

/* While the sender did not send, so that the next packet is neither late nor the first after a hole, nothing is silent. */
static void note_silence(uint64_t now, uint64_t late, bool hole)
{
    uint64_t gap = account.last_ns == 0 ? 0 : now - account.last_ns;
    uint64_t silence = gap < late || hole ? gap : late;
    if (silence > account.silence_ns)
        account.silence_ns = silence;
    account.last_ns = now;
}

static void receive_packet(uint8_t *data, size_t len, uint64_t now)
{
    struct ledger_packet head;
    if (len >= sizeof head)
        memcpy(&head, data, sizeof head);
    if (len >= sizeof head)
        memset(data + offsetof(struct ledger_packet, sum), 0, sizeof head.sum);
    if (len < sizeof head || head.magic != LEDGER_MAGIC || head.flow >= LEDGER_FLOWS ||
        head.sum != ledger_sum(data, len)) {
        account.corrupt++;
        return;
    }
    struct flow *flow = &account.flows[head.flow];
    uint64_t late = now - head.sent_ns;
    note_silence(now, late, head.sequence > flow->next);
    if (!mark(flow, head.sequence)) {
        account.duplicated++;
        return;
    }
    flow->distinct++;
    if (head.sequence < flow->next)
        account.reordered++;
    else
        flow->next = head.sequence + 1;
    account.packets++;
    account.late[late_bucket(late)]++;
    if (late > account.late_max_ns)
        account.late_max_ns = late;
}

static void receive_batch(int fd)
{
    static uint8_t data[BATCH][LEDGER_SIZE_MAX + 1];
    static uint8_t control[BATCH][CMSG_SPACE(sizeof(uint32_t))] __attribute__((aligned(8)));
    struct iovec pieces[BATCH];
    struct mmsghdr messages[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        pieces[i] = (struct iovec){data[i], sizeof data[i]};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i],
                                              .msg_iovlen = 1,
                                              .msg_control = control[i],
                                              .msg_controllen = sizeof control[i]};
    }
    int n = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    uint64_t now = ledger_now_ns();
    for (int i = 0; i < n; i++) {
        receive_packet(data[i], messages[i].msg_len, now);
        struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr);
        if (c != NULL && c->cmsg_type == SO_RXQ_OVFL)
            memcpy(&account.overflows, CMSG_DATA(c), sizeof account.overflows);
    }
}

/* The longest row of sequence numbers below `sent` that are missing. */
static uint64_t longest_hole(const struct flow *flow, uint64_t sent)
{
    uint64_t longest = 0, hole = 0;
    for (uint64_t i = 0; i < sent; i++) {
        bool seen = i < flow->capacity && flow->seen[i / 8] >> (i % 8) & 1;
        hole = seen ? 0 : hole + 1;
        longest = hole > longest ? hole : longest;
    }
    return longest;
}

static void print_account(char *line)
{
    uint64_t sent_total = 0, delivered = 0, unsent = 0, hole = 0;
    for (size_t i = 0; i < LEDGER_FLOWS; i++) {
        const struct flow *flow = &account.flows[i];
        uint64_t sent = strtoull(line, &line, 10);
        uint64_t longest = longest_hole(flow, sent);
        sent_total += sent;
        delivered += flow->distinct;
        unsent += flow->next > sent ? flow->next - sent : 0;
        hole = longest > hole ? longest : hole;
    }
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"sent", sent_total},
        {"delivered", delivered},
        {"duplicated", account.duplicated},
        {"corrupt", account.corrupt},
        {"reordered", account.reordered},
        {"unsent", unsent},
        {"receiverLost", account.overflows},
        {"longestHole", hole},
        {"silenceUs", account.silence_ns / 1000},
        {"lateMedianUs", late_quantile(0.5) / 1000},
        {"late99Us", late_quantile(0.99) / 1000},
        {"lateMaxUs", account.late_max_ns / 1000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        printf("%c\"%s\":%llu", i == 0 ? '{' : ',', rows[i].name,
               (unsigned long long)rows[i].value);
    printf("}\n");
    fflush(stdout);
}

static void receive_all(uint16_t port)
{
    int fd = open_socket(port);
    ledger_go_first();
    puts("listening");
    fflush(stdout);
    for (;;) {
        struct pollfd inputs[2] = {{.fd = fd, .events = POLLIN},
                                   {.fd = STDIN_FILENO, .events = POLLIN}};
        char line[LEDGER_FLOWS * 24];
        poll(inputs, 2, -1);
        if (inputs[0].revents != 0) {
            receive_batch(fd);
        } else if (inputs[1].revents != 0) {
            if (fgets(line, sizeof line, stdin) == NULL)
                return;
            print_account(line);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "send") == 0)
        send_all(argv + 2);
    else if (argc == 3 && strcmp(argv[1], "receive") == 0)
        receive_all((uint16_t)atoi(argv[2]));
    else
        errx(2,
             "usage: ledger send ADDRESS PORT FLOWS PER_SECOND SIZE MILLISECONDS | receive PORT");
    return 0;
}
