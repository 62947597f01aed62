/* Covers io/realtime: what is wanted and what the budget leaves decide over the thread's policy. */
#include "../io/realtime.h"

#include <sched.h>
#include <time.h>

#include "test.h"

static bool is_raised(void)
{
    return sched_getscheduler(0) == SCHED_RR;
}

/* Has the thread use this much processor time, however long that takes. */
static void use_us(long us)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < us);
}

static void raised_within_the_budget(void)
{
    if (!realtime_allowed())
        return;
    CHECK(!is_raised());
    struct realtime r = {0};
    realtime_weigh(&r, false, 1000);
    CHECK(!is_raised());
    realtime_weigh(&r, true, 1001);
    CHECK(is_raised());
    use_us(REALTIME_BUDGET_US + 1000);
    realtime_weigh(&r, true, 1002);
    CHECK(!is_raised());
    realtime_weigh(&r, true, 1000 + REALTIME_WINDOW_MS - 1);
    CHECK(!is_raised());
    realtime_weigh(&r, true, 1000 + REALTIME_WINDOW_MS);
    CHECK(is_raised());
    realtime_weigh(&r, false, 1000 + REALTIME_WINDOW_MS + 1);
    CHECK(!is_raised());
}

static void another_policy_is_kept(void)
{
    struct sched_param none = {0};
    CHECK_EQ(sched_setscheduler(0, SCHED_BATCH, &none), 0);
    CHECK(!realtime_allowed());
    CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
    CHECK_EQ(sched_setscheduler(0, SCHED_OTHER, &none), 0);
}

const struct test realtime_tests[] = {
    {"the priority is taken when wanted, and given back when the budget is spent",
     raised_within_the_budget},
    {"a policy that somebody has set is kept", another_policy_is_kept},
    {0},
};
