/*
 * The harness: runs the tables of tests, those of the modules that are named or all, prints TAP, and exits with 1 when
 * a test failed.
 */
#include "test.h"

#include <inttypes.h>
#include <stdio.h>

enum { REPORTS_MAX = 5 }; /* per test: a broken loop fails a million times */

static unsigned failures; /* of the running test */

unsigned check_failures(void)
{
    return failures;
}

bool check_that(bool holds, const char *what, const char *file, int line)
{
    if (!holds && ++failures <= REPORTS_MAX)
        printf("# %s:%d: %s\n", file, line, what);
    return holds;
}

bool check_equal(uint64_t actual, uint64_t expected, const char *what, const char *file, int line)
{
    if (actual != expected && ++failures <= REPORTS_MAX)
        printf("# %s:%d: %s is %" PRIu64 ", not %" PRIu64 "\n", file, line, what, actual, expected);
    return actual == expected;
}

static unsigned run_module(const char *module, const struct test *tests, unsigned *number)
{
    unsigned failed = 0;
    for (; tests->name != NULL; tests++) {
        failures = 0;
        owned_begin();
        tests->run();
        owned_end();
        failed += failures > 0;
        printf("%s %u - %s: %s\n", failures > 0 ? "not ok" : "ok", ++*number, module, tests->name);
    }
    return failed;
}

static bool chosen(const char *module, char *const *names)
{
    bool all = *names == NULL;
    for (; *names != NULL; names++)
        if (strcmp(*names, module) == 0)
            return true;
    return all;
}

int main(int argc, char **argv)
{
    unsigned number = 0, failed = 0;
    (void)argc;
    setvbuf(stdout, NULL, _IOLBF, 0);
#define RUN(module)                                                                                \
    if (chosen(#module, argv + 1))                                                                 \
        failed += run_module(#module, module##_tests, &number);
    MODULES(RUN)
    printf("1..%u\n", number);
    return failed > 0;
}
