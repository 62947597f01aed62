/* Covers core/path: whom an MTU is believed from, how low, and for how long. */
#include "../core/path.h"

#include "test.h"

static void routers_only_lower_and_not_below_the_floor(void)
{
    struct path path = {0};
    CHECK_EQ(path_mtu(&path, 5), 0);
    CHECK(path_learn(&path, 4, 1400, false, 5));
    CHECK_EQ(path_mtu(&path, 5), 1400);
    CHECK(!path_learn(&path, 4, 1450, false, 5));
    CHECK_EQ(path_mtu(&path, 5), 1400);
    CHECK(path_learn(&path, 4, 68, false, 5)); /* forged, or a very strange network */
    CHECK_EQ(path_mtu(&path, 5), 576);
    CHECK(!path_learn(&path, 4, 0, false, 5));
    CHECK_EQ(path_mtu(&path, 5), 576);
    struct path six = {0};
    CHECK(path_learn(&six, 6, 600, false, 5));
    CHECK_EQ(path_mtu(&six, 5), 1280);
}

static void the_kernel_is_believed(void)
{
    struct path path = {0};
    CHECK(path_learn(&path, 4, 552, true, 5));
    CHECK_EQ(path_mtu(&path, 5), 552);
    CHECK(path_learn(&path, 4, 1400, true, 5)); /* the path has grown */
    CHECK_EQ(path_mtu(&path, 5), 1400);
    CHECK(!path_learn(&path, 4, 1400, true, 5)); /* no news */
}

static void what_is_learned_is_forgotten_after_ten_minutes(void)
{
    struct path path = {0};
    CHECK(path_learn(&path, 4, 1400, false, 1000));
    CHECK_EQ(path_mtu(&path, 1000 + PATH_MTU_LIFETIME_MS - 1), 1400);
    CHECK_EQ(path_mtu(&path, 1000 + PATH_MTU_LIFETIME_MS), 0);
    CHECK(path_learn(&path, 4, 1450, false, 1000 + PATH_MTU_LIFETIME_MS));  /* larger, and new */
    CHECK(!path_learn(&path, 4, 1450, false, 2000 + PATH_MTU_LIFETIME_MS)); /* confirmed */
    CHECK_EQ(path_mtu(&path, 1999 + 2 * PATH_MTU_LIFETIME_MS), 1450);
}

const struct test path_tests[] = {
    {"routers only lower, and not below the floor", routers_only_lower_and_not_below_the_floor},
    {"the kernel is believed", the_kernel_is_believed},
    {"what is learned is forgotten after ten minutes",
     what_is_learned_is_forgotten_after_ten_minutes},
    {NULL, NULL},
};
