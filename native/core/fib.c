/* Build and lookup of the stride-8 trie that fib.h describes: it grows with all slots of its nodes, and is then packed. */
#include "fib.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "bytes.h"

/* A slot is a result or, with this bit, the number of a child: while the trie grows, of a node; then, of a line. */
#define CHILD 0x80000000u
/* The child is a node of few runs. */
#define FEW 0x40000000u
/* The place of a node that is one with the root. */
#define MERGED 1u
enum {
    SLOTS = 256,
    LINE_SLOTS = 16,
    RUNS = 12,
    CHILDREN = 64, /* of a root that is one with them */
};

/* A node of few runs of equal slots: a line of the cache. Others have all slots, and take LINE_SLOTS of these a line. */
struct few {
    uint8_t last[16]; /* the last address byte of each run, and 255 behind them */
    uint32_t slots[RUNS];
};

struct trie {
    uint8_t prefix[16]; /* the first `skip` bytes that every route shares */
    size_t skip;
    uint32_t *lines; /* of LINE_SLOTS; null when there are no routes */
    uint32_t root;
    bool wide; /* the root is one with its children: slots by two bytes, behind an empty node */
};

/* A trie that grows: node n is slots[n * SLOTS ...], node 0 the root. */
struct growing {
    size_t skip;
    uint32_t *slots;
    size_t nodes;
    size_t room;
};

struct fib {
    struct trie ipv4;
    struct trie ipv6;
};

/* Appends a node with every slot set to `result` and returns its number, or 0 without memory. */
static uint32_t add_node(struct growing *t, uint32_t result)
{
    if (t->nodes == t->room) {
        size_t room = t->room == 0 ? 16 : t->room * 2;
        uint32_t *slots = realloc(t->slots, room * SLOTS * sizeof *slots);
        if (slots == NULL)
            return 0;
        t->slots = slots;
        t->room = room;
    }
    uint32_t *node = t->slots + t->nodes * SLOTS;
    for (size_t i = 0; i < SLOTS; i++)
        node[i] = result;
    return (uint32_t)t->nodes++;
}

/* Inserts a route; every route inserted before was at most as long, so a slot to be filled has no child. */
static bool insert(struct growing *t, const struct fib_route *r)
{
    size_t node = 0;
    size_t depth = t->skip;
    for (; r->length > (depth + 1) * 8; depth++) {
        size_t slot = node * SLOTS + r->prefix[depth];
        if (!(t->slots[slot] & CHILD)) {
            uint32_t child = add_node(t, t->slots[slot]);
            if (child == 0)
                return false;
            t->slots[slot] = child | CHILD;
        }
        node = t->slots[slot] & ~CHILD;
    }
    unsigned bits = r->length - (unsigned)depth * 8; /* 0 (only /0) to 8 bits decide in this node */
    size_t span = (size_t)SLOTS >> bits;
    size_t first = bits == 0 ? 0 : r->prefix[depth] & ~(span - 1);
    for (size_t i = first; i < first + span; i++)
        t->slots[node * SLOTS + i] = r->result;
    return true;
}

/* The number of leading bytes that all routes of a family share; the last byte of each stays for the trie. */
static size_t shared_bytes(const struct fib_route *const *routes, size_t n)
{
    size_t skip = routes[0]->length == 0 ? 0 : (routes[0]->length - 1u) / 8;
    for (size_t i = 1; i < n; i++) {
        size_t same = 0;
        while (same < skip && routes[i]->prefix[same] == routes[0]->prefix[same])
            same++;
        skip = same;
    }
    return skip;
}

static unsigned count_runs(const uint32_t *node)
{
    unsigned runs = 1;
    for (size_t i = 1; i < SLOTS; i++)
        runs += node[i] != node[i - 1];
    return runs;
}

/*
 * Notes in `at` whom a root with many children is made one with. Returns how many lines that takes, with an empty node in
 * front; 0 if it has few.
 */
static uint32_t merge_root(const struct growing *g, uint32_t *at)
{
    size_t children = 0;
    for (size_t i = 0; i < SLOTS; i++)
        children += (g->slots[i] & CHILD) != 0;
    if (children < CHILDREN)
        return 0;
    at[0] = MERGED;
    for (size_t i = 0; i < SLOTS; i++)
        if (g->slots[i] & CHILD)
            at[g->slots[i] & ~CHILD] = MERGED;
    return 1 + SLOTS * SLOTS / LINE_SLOTS;
}

/* Where each other node goes, behind so many lines: `at`, with FEW where that applies. Returns how many lines there are. */
static uint32_t place_nodes(const struct growing *g, uint32_t *at, uint32_t lines)
{
    for (size_t n = 0; n < g->nodes; n++) {
        if (at[n] == MERGED)
            continue;
        bool few = count_runs(g->slots + n * SLOTS) <= RUNS;
        at[n] = lines | CHILD | (few ? FEW : 0);
        lines += few ? 1 : SLOTS / LINE_SLOTS;
    }
    return lines;
}

/* What a slot becomes whose children are `at` those places. */
static uint32_t placed(uint32_t slot, const uint32_t *at)
{
    return slot & CHILD ? at[slot & ~CHILD] : slot;
}

static void pack_all(const uint32_t *node, const uint32_t *at, uint32_t *slots)
{
    for (size_t i = 0; i < SLOTS; i++)
        slots[i] = placed(node[i], at);
}

static void pack_few(const uint32_t *node, const uint32_t *at, struct few *few)
{
    size_t run = 0;
    memset(few->last, SLOTS - 1, sizeof few->last);
    for (size_t i = 0; i < SLOTS; i++) {
        if (i + 1 < SLOTS && node[i + 1] == node[i])
            continue;
        few->last[run] = (uint8_t)i;
        few->slots[run++] = placed(node[i], at);
    }
}

static void pack_wide(const struct growing *g, const uint32_t *at, uint32_t *lines)
{
    uint32_t *slots = lines + LINE_SLOTS;
    memset(lines, SLOTS - 1, sizeof(struct few));
    for (size_t i = 0; i < SLOTS * SLOTS; i++) {
        uint32_t slot = g->slots[i / SLOTS];
        if (slot & CHILD)
            slot = g->slots[(slot & ~CHILD) * SLOTS + i % SLOTS];
        slots[i] = placed(slot, at);
    }
}

static bool pack(struct trie *t, const struct growing *g)
{
    uint32_t *at = calloc(g->nodes, sizeof *at);
    if (at == NULL)
        return false;
    uint32_t first = merge_root(g, at);
    t->lines = aligned_alloc(sizeof(struct few), place_nodes(g, at, first) * sizeof(struct few));
    t->wide = first > 0;
    if (t->lines != NULL && t->wide)
        pack_wide(g, at, t->lines);
    for (size_t n = 0; n < g->nodes && t->lines != NULL; n++) {
        if (at[n] == MERGED)
            continue;
        const uint32_t *node = g->slots + n * SLOTS;
        uint32_t *line = t->lines + (size_t)(at[n] & ~(CHILD | FEW)) * LINE_SLOTS;
        if (at[n] & FEW)
            pack_few(node, at, (struct few *)(void *)line);
        else
            pack_all(node, at, line);
    }
    t->root = at[0];
    free(at);
    return t->lines != NULL;
}

static bool build_trie(struct trie *t, const struct fib_route *const *sorted, size_t n)
{
    if (n == 0)
        return true;
    t->skip = shared_bytes(sorted, n);
    memcpy(t->prefix, sorted[0]->prefix, t->skip);
    struct growing g = {.skip = t->skip};
    add_node(&g, FIB_NONE);
    bool built = g.slots != NULL;
    for (size_t i = 0; i < n && built; i++)
        built = insert(&g, sorted[i]);
    built = built && pack(t, &g);
    free(g.slots);
    return built;
}

/* The order of insertion: what comes later wins where both are. */
static int by_family_length_result(const void *a, const void *b)
{
    const struct fib_route *x = *(const struct fib_route *const *)a;
    const struct fib_route *y = *(const struct fib_route *const *)b;
    if (x->family != y->family)
        return x->family - y->family;
    if (x->length != y->length)
        return x->length - y->length;
    return (x->result > y->result) - (x->result < y->result);
}

static bool valid(const struct fib_route *r)
{
    if (r->result >= FIB_NONE)
        return false;
    return r->family == 4 ? r->length <= 32 : r->family == 6 && r->length <= 128;
}

struct fib *fib_build(const struct fib_route *routes, size_t n)
{
    struct fib *fib = calloc(1, sizeof *fib);
    const struct fib_route **sorted = calloc(n + 1, sizeof *sorted);
    int error = ENOMEM;
    if (fib == NULL || sorted == NULL)
        goto fail;
    size_t ipv4 = 0;
    for (size_t i = 0; i < n; i++) {
        if (!valid(&routes[i])) {
            error = EINVAL;
            goto fail;
        }
        sorted[i] = &routes[i];
        ipv4 += routes[i].family == 4;
    }
    qsort(sorted, n, sizeof *sorted, by_family_length_result);
    if (!build_trie(&fib->ipv4, sorted, ipv4) || !build_trie(&fib->ipv6, sorted + ipv4, n - ipv4))
        goto fail;
    free(sorted);
    return fib;

fail:
    free(sorted);
    fib_free(fib);
    errno = error;
    return NULL;
}

void fib_free(struct fib *fib)
{
    if (fib == NULL)
        return;
    free(fib->ipv4.lines);
    free(fib->ipv6.lines);
    free(fib);
}

/* A loop, since calling memcmp for two or three bytes takes longer than the rest of a lookup. */
static bool has_prefix(const struct trie *t, const uint8_t *address)
{
    for (size_t i = 0; i < t->skip; i++)
        if (address[i] != t->prefix[i])
            return false;
    return true;
}

/* The slot of the run that `byte` is in: the first one that ends with it or after it. */
static uint32_t slot_of_run(const struct few *few, uint8_t byte)
{
#ifdef __SSE2__
    __m128i last = _mm_load_si128((const __m128i *)(const void *)few->last);
    __m128i not_before = _mm_cmpeq_epi8(_mm_max_epu8(last, _mm_set1_epi8((char)byte)), last);
    return few->slots[__builtin_ctz((unsigned)_mm_movemask_epi8(not_before))];
#else
    size_t run = 0;
    while (few->last[run] < byte)
        run++;
    return few->slots[run];
#endif
}

static const struct few *few_at(const struct trie *t, uint32_t place)
{
    return (const struct few *)(const void *)(t->lines + (size_t)place * LINE_SLOTS);
}

/*
 * The first two bytes in one step, and the third where that leads to a node of few runs. Whether it does, the processor
 * cannot foretell among prefixes of many lengths, and a wrong guess takes longer than a step: so this takes it always, if
 * need be to the empty node. Moves *depth behind the bytes that count.
 */
static uint32_t begin_wide(const struct trie *t, const uint8_t *address, size_t *depth)
{
    uint32_t slot = t->lines[LINE_SLOTS + get16(address + *depth)];
    bool few = slot >> 30 == (CHILD | FEW) >> 30;
    uint32_t mask = 0 - (uint32_t)few;
    uint32_t next =
        slot_of_run(few_at(t, slot & mask & ~(CHILD | FEW)), address[*depth + (few ? 2 : 0)]);
    *depth += few ? 3 : 2;
    return (next & mask) | (slot & ~mask);
}

uint32_t fib_lookup(const struct fib *fib, int family, const uint8_t *address)
{
    const struct trie *t = family == 4 ? &fib->ipv4 : &fib->ipv6;
    if (t->lines == NULL || !has_prefix(t, address))
        return FIB_NONE;
    size_t depth = t->skip;
    uint32_t slot = t->wide ? begin_wide(t, address, &depth) : t->root;
    for (; slot & CHILD; depth++) {
        uint32_t place = slot & ~(CHILD | FEW);
        uint8_t byte = address[depth];
        slot = slot & FEW ? slot_of_run(few_at(t, place), byte)
                          : t->lines[(size_t)place * LINE_SLOTS + byte];
    }
    return slot;
}
