/*
 * A test is a function that makes checks, a module's tests stand in a table at the end of its file,
 * and test.c runs the tables of all modules in order and prints TAP. Randomness is seeded: every
 * run does the same.
 */
#ifndef WEFT_TEST_H
#define WEFT_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct test {
    const char *name;
    void (*run)(void);
};

/* Every module has a table <module>_tests, ended by an empty row. The last looks at what the others
 * have done. */
#define MODULES(M)                                                                                 \
    M(checksum)                                                                                    \
    M(ip)                                                                                          \
    M(fib)                                                                                         \
    M(tables)                                                                                      \
    M(vxlan)                                                                                       \
    M(neighbour)                                                                                   \
    M(gso)                                                                                         \
    M(gro)                                                                                         \
    M(path)                                                                                        \
    M(icmp)                                                                                        \
    M(sendq)                                                                                       \
    M(fairq)                                                                                       \
    M(forward_tx)                                                                                  \
    M(forward_rx)                                                                                  \
    M(hostile)                                                                                     \
    M(capture)                                                                                     \
    M(memory)                                                                                      \
    M(corpus)                                                                                      \
    M(journal)                                                                                     \
    M(rcu)                                                                                         \
    M(realtime)                                                                                    \
    M(counters)
#define DECLARE(module) extern const struct test module##_tests[];
MODULES(DECLARE)
#undef DECLARE

/* A check that fails is reported with its line and fails the test, which goes on. They return
 * whether they held. */
#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(actual, expected)                                                                 \
    check_equal((uint64_t)(actual), (uint64_t)(expected), #actual, __FILE__, __LINE__)
#define CHECK_BYTES(actual, expected, len)                                                         \
    check_that(memcmp((actual), (expected), (len)) == 0, #actual " == " #expected, __FILE__,       \
               __LINE__)
unsigned check_failures(void); /* in the running test, so far */
bool check_that(bool holds, const char *what, const char *file, int line);
bool check_equal(uint64_t actual, uint64_t expected, const char *what, const char *file, int line);

/* Zeroed memory of exactly that size, so that the sanitizer sees every byte too far; freed when the
 * test ends. */
void *owned(size_t size);
void *owned_copy(const void *data, size_t size);

/* Before and after each test: the random numbers start anew, and what is owned is freed. */
void owned_begin(void);
void owned_end(void);

uint32_t random32(void);
/* 0 <= result < limit */
uint32_t random_below(uint32_t limit);
void random_bytes(uint8_t *out, size_t len);

#endif
