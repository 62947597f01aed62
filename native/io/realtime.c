/* Takes and gives back SCHED_RR. */
#include "realtime.h"

#include <sched.h>
#include <time.h>

/* 0 is the calling thread (sched_setscheduler(2)): not the process, in spite of POSIX. */
enum { THIS_THREAD = 0, LOWEST_PRIORITY = 1 };

static int set_policy(bool raised)
{
    struct sched_param parameter = {.sched_priority = raised ? LOWEST_PRIORITY : 0};
    return sched_setscheduler(THIS_THREAD, raised ? SCHED_RR : SCHED_OTHER, &parameter);
}

bool realtime_allowed(void)
{
    if (sched_getscheduler(THIS_THREAD) != SCHED_OTHER || set_policy(true) < 0)
        return false;
    set_policy(false);
    return true;
}

void realtime_set(struct realtime *r, bool raised)
{
    if (r->raised == raised)
        return;
    r->raised = raised;
    set_policy(raised);
}

static uint64_t used_us(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

void realtime_weigh(struct realtime *r, bool wanted, uint64_t now_ms)
{
    uint64_t used = used_us();
    if (now_ms - r->window_ms >= REALTIME_WINDOW_MS) {
        r->window_ms = now_ms;
        r->window_used = used;
        r->spent = false;
    } else if (used - r->window_used > REALTIME_BUDGET_US) {
        r->spent = true;
    }
    realtime_set(r, wanted && !r->spent);
}
