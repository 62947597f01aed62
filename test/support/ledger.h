/*
 * The packet of the ledger (ledger.c), which the wire (wire.c) can read too. Both ends and the wire run on one
 * machine: host byte order, and CLOCK_MONOTONIC is the same everywhere.
 */
#ifndef WEFT_LEDGER_H
#define WEFT_LEDGER_H

#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { LEDGER_MAGIC = 0x7765464c, LEDGER_FLOWS = 64, LEDGER_SIZE_MAX = 1472 };

/* The UDP payload begins with this; filling that the sequence number determines follows up to its end. */
struct ledger_packet {
    uint32_t magic;
    uint32_t flow;     /* below LEDGER_FLOWS */
    uint64_t sequence; /* from 0, without gaps, per flow */
    uint64_t sent_ns;
    uint64_t sum; /* ledger_sum of the payload, with this field zero */
};

/*
 * Goes before what is measured, weft's workers too, where that is allowed: else the accounts tell how long wire and
 * receiver waited for a processor themselves. The sender does not: it would load a machine that is overloaded already.
 */
static inline void ledger_go_first(void)
{
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 10});
}

static inline uint64_t ledger_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The finalizer of splitmix64 (Steele, Lea, Flood 2014): every bit of the result depends on every bit of x. */
static inline uint64_t ledger_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t ledger_sum(const uint8_t *data, size_t len)
{
    uint64_t sum = len;
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, data + i, len - i < 8 ? len - i : 8);
        sum = ledger_mix(sum ^ word);
    }
    return sum;
}

#endif
