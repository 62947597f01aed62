/*
 * The MTU of the path to one peer, as far as it is known to be smaller than the interface's. Learned from the
 * underlay's error queue, used for what leaves from then on, forgotten after a while so that a path that grows again
 * is found (RFC 1191 6.3). Shared by the workers; two that learn at once leave the word of either.
 */
#ifndef WEFT_PATH_H
#define WEFT_PATH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    /* What a router may claim at the least (RFC 1191 3, RFC 8200 5): anybody can forge its message. */
    PATH_MTU_MIN4 = 576,
    PATH_MTU_MIN6 = 1280,
    PATH_MTU_LIFETIME_MS = 600 * 1000,
};

struct path {
    _Atomic uint32_t mtu; /* of the outer IP packet, in bytes; 0: not known */
    _Atomic uint64_t learned_ms;
};

/*
 * Notes an MTU. certain: the kernel itself refused to send more, which is believed as it is; a router's message
 * (false) can only lower what is known. family: of the underlay, 4 or 6. now_ms: CLOCK_MONOTONIC.
 * Returns whether what is known has changed.
 */
bool path_learn(struct path *path, int family, uint32_t mtu, bool certain, uint64_t now_ms);

/* The MTU to keep to, or 0 when none is known. */
static inline uint32_t path_mtu(const struct path *path, uint64_t now_ms)
{
    uint32_t mtu = atomic_load_explicit(&path->mtu, memory_order_relaxed);
    if (mtu == 0)
        return 0;
    uint64_t learned_ms = atomic_load_explicit(&path->learned_ms, memory_order_relaxed);
    return now_ms - learned_ms < PATH_MTU_LIFETIME_MS ? mtu : 0;
}

#endif
