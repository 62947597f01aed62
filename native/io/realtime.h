/*
 * Real-time priority for a worker while it carries bulk. A packet that waits for a processor behind a program of
 * ordinary priority waits for milliseconds, on each host of its way; kernels forward in interrupts and have no such
 * wait. SCHED_RR at the lowest priority (sched(7)) goes before all ordinary programs, so it is bounded: of each
 * stretch of REALTIME_WINDOW_MS a worker has REALTIME_BUDGET_US, and is ordinary for the rest. The kernel does the same
 * with its own work, which it leaves to ksoftirqd after two milliseconds.
 */
#ifndef WEFT_REALTIME_H
#define WEFT_REALTIME_H

#include <stdbool.h>
#include <stdint.h>

enum { REALTIME_WINDOW_MS = 10, REALTIME_BUDGET_US = 6000 };

struct realtime {
    bool raised;          /* the thread has the priority */
    bool spent;           /* the budget of this stretch */
    uint64_t window_ms;   /* when this stretch began */
    uint64_t window_used; /* the thread's processor time until then, in microseconds */
};

/*
 * Whether threads of this process may take the priority: with CAP_SYS_NICE or RLIMIT_RTPRIO, unless a filter of system
 * calls or the thread's cgroup forbids it, and unless somebody has set a policy for this process. The calling thread is
 * of ordinary priority before and after.
 */
bool realtime_allowed(void);

/* Gives the calling thread the priority, or takes it away. For threads of a process that may. */
void realtime_set(struct realtime *realtime, bool raised);

/*
 * The same for a thread that would have the priority when `wanted`, as far as the budget goes. To be called about once
 * a millisecond while there is work; `now_ms` is CLOCK_MONOTONIC.
 */
void realtime_weigh(struct realtime *realtime, bool wanted, uint64_t now_ms);

#endif
