/*
 * A bad wire between two network interfaces: every frame that comes in at one goes out at the other. Frames of the
 * tunnel, UDP over IPv4 to its port, it may lose, delay, hold back behind later ones, double, damage, cut and keep to a
 * rate, and accounts for each; everything else passes.
 *
 *   wire INTERFACE INTERFACE PORT
 *
 *   receive a batch → impair: number the frame, draw its fate → straight out, or into a slot until its time or turn
 *                   → slots whose time or turn has come → send in batches
 *
 * A frame's fate depends on the seed, its direction, its number among the tunnel's frames of that direction and the
 * settings, and on nothing else. Direction 0 is from the first interface to the second. Lines on the standard input:
 *
 *   set DIRECTION NAME=VALUE …    settings (wire_account.h); the others stay
 *   reset SEED                    all settings off, all accounts zero, numbers from zero
 *   report                        is answered with a line of JSON: [account of direction 0, account of direction 1]
 */
#define _GNU_SOURCE
#include "ledger.h"
#include "wire_account.h"
#include "wire_frame.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BATCH = 64,
    FRAME_MAX = 2048,
    SLOTS = 32768,
    OUT_MAX = 4 * BATCH,
    SOCKET_BUFFER = 64 * 1024 * 1024,
    /* The last frames of a stream have none behind them: they are held back no longer than this. */
    HOLD_MAX_NS = 20 * 1000 * 1000,
    VXLAN_PORT = 8472,
};

/* A frame that waits: for a time, or for the frame with a number to have gone out. */
struct slot {
    uint8_t direction;
    uint16_t len;
    uint64_t release_ns, release_number, order;
    uint8_t data[FRAME_MAX];
};

struct out {
    struct iovec frame;
    bool tunnel;
};

static struct direction {
    int from, to; /* packet sockets */
    struct settings settings;
    struct account account;
    uint64_t number;
    uint64_t busy_until_ns; /* of the limited line */
    uint64_t next_sequence[LEDGER_FLOWS];
    struct out out[OUT_MAX];
    size_t out_count;
} directions[2];

static uint64_t seed, order;
static uint16_t tunnel_port;

static struct slot slots[SLOTS];
static uint16_t free_slots[SLOTS];
static size_t free_count;
static struct slot *heap[SLOTS]; /* those that wait for a time; the earliest first */
static size_t heap_size;
static struct slot *held[2][BATCH]; /* those that wait for a number */
static size_t held_count[2];
static struct slot *leaving[OUT_MAX]; /* to be freed with the next flush */
static size_t leaving_count;

/* --- chance --------------------------------------------------------------------------------------------------- */

enum purpose { LOSS, DUPLICATE, FLIP, SPOIL, TRUNCATE, REORDER, DISTANCE, JITTER, PLACE, PURPOSES };

/* In [0, 1): the same for the same frame and purpose whenever it is asked. */
static double chance(const struct direction *d, enum purpose purpose)
{
    uint64_t which = (d->number * PURPOSES + purpose) * 2 + (uint64_t)(d - directions);
    return (double)(ledger_mix(ledger_mix(seed) ^ which * 0x9e3779b97f4a7c15u) >> 11) * 0x1p-53;
}

/* --- damage --------------------------------------------------------------------------------------------------- */

static void damage(struct direction *d, uint8_t *frame, size_t *len)
{
    double place = chance(d, PLACE);
    if (chance(d, FLIP) < d->settings.flip) {
        frame_flip(frame, FRAME_IP, *len, place);
        d->account.flipped++;
    } else if (chance(d, SPOIL) < d->settings.spoil) {
        frame_flip(frame, frame_payload(frame), *len, place);
        frame_without_sum(frame);
        d->account.spoiled++;
    } else if (chance(d, TRUNCATE) < d->settings.truncate) {
        size_t payload = frame_payload(frame);
        *len = payload + (size_t)(place * (double)(*len - payload));
        frame_resize(frame, *len);
        frame_without_sum(frame);
        d->account.truncated++;
    }
}

/* --- going out ------------------------------------------------------------------------------------------------ */

static void note_order(struct direction *d, const struct iovec *frame)
{
    const uint8_t *data = frame->iov_base;
    size_t inner = frame_payload(data) + (tunnel_port == VXLAN_PORT ? 8 + 14 : 0);
    struct ledger_packet head;
    if (frame->iov_len < inner + 28 + sizeof head)
        return;
    memcpy(&head, data + inner + 28, sizeof head);
    if (head.magic != LEDGER_MAGIC || head.flow >= LEDGER_FLOWS)
        return;
    if (head.sequence + 1 < d->next_sequence[head.flow])
        d->account.reordered++;
    else
        d->next_sequence[head.flow] = head.sequence + 1;
}

/* Sends what is waiting to go out, of both directions, and frees its slots. */
static void flush(void)
{
    for (struct direction *d = directions; d < directions + 2; d++) {
        static struct mmsghdr messages[OUT_MAX];
        for (size_t i = 0; i < d->out_count; i++) {
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &d->out[i].frame, .msg_iovlen = 1};
            if (d->out[i].tunnel)
                note_order(d, &d->out[i].frame);
        }
        for (size_t i = 0; i < d->out_count;) {
            int n = sendmmsg(d->to, messages + i, (unsigned)(d->out_count - i), 0);
            size_t done = n > 0 ? (size_t)n : 1;
            for (size_t j = i; j < i + done; j++) {
                if (d->out[j].tunnel)
                    *(n > 0 ? &d->account.sent : &d->account.unsent) += 1;
            }
            i += done;
        }
        d->out_count = 0;
    }
    while (leaving_count > 0)
        free_slots[free_count++] = (uint16_t)(leaving[--leaving_count] - slots);
}

static void put_out(struct direction *d, uint8_t *frame, size_t len, bool tunnel)
{
    if (d->out_count == OUT_MAX)
        flush();
    d->out[d->out_count++] = (struct out){{frame, len}, tunnel};
}

static void release(struct slot *slot)
{
    put_out(&directions[slot->direction], slot->data, slot->len, true);
    if (leaving_count == OUT_MAX)
        flush();
    leaving[leaving_count++] = slot;
}

/* --- waiting -------------------------------------------------------------------------------------------------- */

/* Null, and the frame is lost, when too many wait. */
static struct slot *keep(struct direction *d, const uint8_t *frame, size_t len)
{
    if (free_count == 0)
        flush();
    if (free_count == 0) {
        d->account.limited++;
        return NULL;
    }
    struct slot *slot = &slots[free_slots[--free_count]];
    slot->direction = (uint8_t)(d - directions);
    slot->len = (uint16_t)len;
    slot->order = order++;
    memcpy(slot->data, frame, len);
    return slot;
}

static bool earlier(const struct slot *a, const struct slot *b)
{
    return a->release_ns != b->release_ns ? a->release_ns < b->release_ns : a->order < b->order;
}

static void heap_put(struct slot *slot)
{
    size_t at = heap_size++;
    for (; at > 0 && earlier(slot, heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = slot;
}

static struct slot *heap_take(void)
{
    struct slot *first = heap[0], *last = heap[--heap_size];
    size_t at = 0;
    for (size_t child = 1; child < heap_size; child = 2 * at + 1) {
        if (child + 1 < heap_size && earlier(heap[child + 1], heap[child]))
            child++;
        if (!earlier(heap[child], last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

/* Lets go those that were held back behind the frame with the direction's present number, or for too long. */
static void release_held(size_t which, uint64_t now)
{
    size_t kept = 0;
    for (size_t i = 0; i < held_count[which]; i++) {
        struct slot *slot = held[which][i];
        if (slot->release_number <= directions[which].number || slot->release_ns <= now)
            release(slot);
        else
            held[which][kept++] = slot;
    }
    held_count[which] = kept;
}

static void release_due(uint64_t now)
{
    while (heap_size > 0 && heap[0]->release_ns <= now)
        release(heap_take());
    for (size_t which = 0; which < 2; which++)
        release_held(which, now);
}

/* --- fate ----------------------------------------------------------------------------------------------------- */

/* When a frame of so many bytes leaves the limited line; 0: its queue is full. */
static uint64_t line_time(struct direction *d, size_t len, uint64_t now)
{
    const struct settings *s = &d->settings;
    uint64_t begin = d->busy_until_ns > now ? d->busy_until_ns : now;
    if ((double)(begin - now) * s->bits_per_second / 8e9 > s->queue_bytes)
        return 0;
    d->busy_until_ns = begin + (uint64_t)((double)len * 8e9 / s->bits_per_second);
    return d->busy_until_ns;
}

/* One copy of a frame that was not lost: out at once, or into a slot. */
static void pass(struct direction *d, uint8_t *frame, size_t len, uint64_t now)
{
    const struct settings *s = &d->settings;
    size_t which = (size_t)(d - directions);
    uint64_t leave = now;
    if (s->bits_per_second > 0) {
        leave = line_time(d, len, now);
        if (leave == 0) {
            d->account.limited++;
            return;
        }
    }
    leave += (uint64_t)((s->delay_us + s->jitter_us * chance(d, JITTER)) * 1000);
    bool hold = chance(d, REORDER) < s->reorder && held_count[which] < BATCH;
    if (leave == now && !hold) {
        put_out(d, frame, len, true);
        return;
    }
    struct slot *slot = keep(d, frame, len);
    if (slot == NULL)
        return;
    if (hold) {
        slot->release_number = d->number + 1 + (uint64_t)(chance(d, DISTANCE) * s->distance);
        slot->release_ns = now + HOLD_MAX_NS;
        held[which][held_count[which]++] = slot;
        d->account.held++;
    } else {
        slot->release_ns = leave;
        heap_put(slot);
    }
}

static void impair(struct direction *d, uint8_t *frame, size_t len, uint64_t now)
{
    const struct settings *s = &d->settings;
    d->account.received++;
    if (chance(d, LOSS) < s->loss) {
        d->account.lost++;
    } else if (s->mtu > 0 && (double)(len - FRAME_IP) > s->mtu) {
        d->account.oversize++;
    } else {
        damage(d, frame, &len);
        pass(d, frame, len, now);
        if (chance(d, DUPLICATE) < s->duplicate) {
            d->account.duplicated++;
            pass(d, frame, len, now);
        }
    }
    release_held((size_t)(d - directions), now);
    d->number++;
}

static void receive(struct direction *d)
{
    static uint8_t frames[BATCH][FRAME_MAX];
    struct iovec pieces[BATCH];
    struct mmsghdr messages[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        pieces[i] = (struct iovec){frames[i], FRAME_MAX};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(d->from, messages, BATCH, MSG_DONTWAIT, NULL);
    uint64_t now = ledger_now_ns();
    for (int i = 0; i < n; i++) {
        size_t len = messages[i].msg_len;
        if (frame_is_to(frames[i], len, tunnel_port)) {
            impair(d, frames[i], len, now);
        } else {
            d->account.other++;
            put_out(d, frames[i], len, false);
        }
    }
    flush(); /* the buffers are for the next batch */
}

/* --- commands ------------------------------------------------------------------------------------------------- */

static void reset(uint64_t new_seed)
{
    seed = new_seed;
    for (struct direction *d = directions; d < directions + 2; d++) {
        memset(&d->settings, 0, sizeof d->settings);
        memset(&d->account, 0, sizeof d->account);
        memset(d->next_sequence, 0, sizeof d->next_sequence);
        d->number = d->busy_until_ns = 0;
    }
    release_due(UINT64_MAX);
    flush();
}

static bool set_one(struct settings *s, const char *word)
{
    const char *value = strchr(word, '=');
    size_t len = value == NULL ? 0 : (size_t)(value - word);
#define SET(name)                                                                                  \
    if (len == sizeof #name - 1 && memcmp(word, #name, len) == 0) {                                \
        s->name = strtod(value + 1, NULL);                                                         \
        return true;                                                                               \
    }
    SETTINGS(SET)
#undef SET
    return false;
}

static void report(void)
{
    for (size_t i = 0; i < 2; i++) {
        struct direction *d = &directions[i];
        struct tpacket_stats stats;
        socklen_t len = sizeof stats;
        /* The kernel forgets these numbers when they are read. */
        if (getsockopt(d->from, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
            d->account.overflowed += stats.tp_drops;
        printf("%s", i == 0 ? "[{" : ",{");
        const char *comma = "";
#define PRINT(name)                                                                                \
    printf("%s\"" #name "\":%llu", comma, (unsigned long long)d->account.name);                    \
    comma = ",";
        ACCOUNT(PRINT)
#undef PRINT
        printf("}");
    }
    printf("]\n");
}

static bool obey(char *line)
{
    char *rest = NULL;
    const char *verb = strtok_r(line, " \n", &rest);
    if (verb == NULL)
        return false;
    if (strcmp(verb, "report") == 0) {
        report();
        return true;
    }
    const char *word = strtok_r(NULL, " \n", &rest);
    if (word == NULL)
        return false;
    if (strcmp(verb, "reset") == 0) {
        reset(strtoull(word, NULL, 10));
    } else if (strcmp(verb, "set") == 0) {
        struct settings *s = &directions[atoi(word) == 1].settings;
        while ((word = strtok_r(NULL, " \n", &rest)) != NULL) {
            if (!set_one(s, word))
                return false;
        }
    } else {
        return false;
    }
    puts("ok");
    return true;
}

/* --- the program ---------------------------------------------------------------------------------------------- */

static int open_interface(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), size = SOCKET_BUFFER, on = 1;
    struct sockaddr_ll own = {.sll_family = AF_PACKET,
                              .sll_protocol = htons(ETH_P_ALL),
                              .sll_ifindex = (int)if_nametoindex(name)};
    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0 ||
        bind(fd, (struct sockaddr *)&own, sizeof own) < 0)
        err(1, "packet socket on %s", name);
    return fd;
}

static uint64_t next_release(void)
{
    uint64_t next = heap_size > 0 ? heap[0]->release_ns : UINT64_MAX;
    for (size_t which = 0; which < 2; which++)
        for (size_t i = 0; i < held_count[which]; i++)
            next = held[which][i]->release_ns < next ? held[which][i]->release_ns : next;
    return next;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        errx(2, "usage: wire INTERFACE INTERFACE PORT");
    int fds[2] = {open_interface(argv[1]), open_interface(argv[2])};
    tunnel_port = (uint16_t)atoi(argv[3]);
    for (size_t i = 0; i < 2; i++) {
        directions[i].from = fds[i];
        directions[i].to = fds[1 - i];
    }
    for (size_t i = 0; i < SLOTS; i++)
        free_slots[free_count++] = (uint16_t)i;
    setvbuf(stdout, NULL, _IOLBF, 0);
    ledger_go_first();
    puts("carrying");
    for (;;) {
        struct pollfd inputs[3] = {{.fd = fds[0], .events = POLLIN},
                                   {.fd = fds[1], .events = POLLIN},
                                   {.fd = STDIN_FILENO, .events = POLLIN}};
        uint64_t now = ledger_now_ns(), next = next_release();
        uint64_t wait = next > now ? next - now : 0;
        struct timespec timeout = {.tv_sec = (time_t)(wait / 1000000000u),
                                   .tv_nsec = (long)(wait % 1000000000u)};
        ppoll(inputs, 3, next == UINT64_MAX ? NULL : &timeout, NULL);
        for (size_t i = 0; i < 2; i++) {
            if (inputs[i].revents != 0)
                receive(&directions[i]);
        }
        release_due(ledger_now_ns());
        flush();
        if (inputs[2].revents != 0) {
            char line[512];
            if (fgets(line, sizeof line, stdin) == NULL)
                return 0;
            if (!obey(line))
                puts("not understood");
        }
    }
}
