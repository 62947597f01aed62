/* libFuzzer's side of a target: RUN_TARGET names its function, and a check that fails ends the program. */
#include "fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool check_that(bool holds, const char *what, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: %s\n", file, line, what);
        abort();
    }
    return holds;
}

bool check_equal(uint64_t actual, uint64_t expected, const char *what, const char *file, int line)
{
    if (actual != expected) {
        fprintf(stderr, "%s:%d: %s is %" PRIu64 ", not %" PRIu64 "\n", file, line, what, actual,
                expected);
        abort();
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    owned_begin();
    RUN_TARGET(data, size);
    owned_end();
    return 0;
}
