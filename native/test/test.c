/* The harness: runs the tables of tests, prints TAP, and exits with 1 when a test failed. */
#include "test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { REPORTS_MAX = 5 }; /* per test: a broken loop fails a million times */

static unsigned failures; /* of the running test */

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

struct block {
    struct block *next;
    void *memory;
};
static struct block *blocks;

void *owned(size_t size)
{
    struct block *block = malloc(sizeof *block);
    void *memory = calloc(1, size);
    if (block == NULL || memory == NULL)
        abort();
    *block = (struct block){blocks, memory};
    blocks = block;
    return memory;
}

void *owned_copy(const void *data, size_t size)
{
    return memcpy(owned(size), data, size);
}

static void free_owned(void)
{
    while (blocks != NULL) {
        struct block *block = blocks;
        blocks = block->next;
        free(block->memory);
        free(block);
    }
}

static uint64_t random_state;

uint32_t random32(void)
{
    /* splitmix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

uint32_t random_below(uint32_t limit)
{
    return random32() % limit;
}

void random_bytes(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)random32();
}

static unsigned run_module(const char *module, const struct test *tests, unsigned *number)
{
    unsigned failed = 0;
    for (; tests->name != NULL; tests++) {
        failures = 0;
        random_state = 1;
        tests->run();
        free_owned();
        failed += failures > 0;
        printf("%s %u - %s: %s\n", failures > 0 ? "not ok" : "ok", ++*number, module, tests->name);
    }
    return failed;
}

int main(void)
{
    unsigned number = 0, failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
#define RUN(module) failed += run_module(#module, module##_tests, &number);
    MODULES(RUN)
    printf("1..%u\n", number);
    return failed > 0;
}
