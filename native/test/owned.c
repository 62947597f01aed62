/* Memory that is freed when a test ends, and random numbers that are the same in every run. */
#include <stdlib.h>

#include "test.h"

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
    return size == 0 ? owned(0) : memcpy(owned(size), data, size);
}

static uint64_t random_state;

void owned_begin(void)
{
    random_state = 1;
}

void owned_end(void)
{
    while (blocks != NULL) {
        struct block *block = blocks;
        blocks = block->next;
        free(block->memory);
        free(block);
    }
}

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
