/*
 * The forwarding information base: longest-prefix match for IPv4 and IPv6.
 *
 * A multibit trie with a stride of eight bits: a node is an array of 256 slots, one per value of the next address
 * byte, and a slot holds either a result or the number of a child node. Prefixes are inserted from short to long and
 * pushed into the leaves, so a lookup is one load per byte, never goes back, and ends at the first slot that is no
 * child. Bytes that all prefixes of a family share (the overlay's network) are compared once instead of walked. A node
 * with few runs of equal slots, as long prefixes make them, has one line of the cache instead of sixteen. A root with many
 * children is one with them: two bytes are one step.
 * Immutable after fib_build: any number of threads may look up.
 */
#ifndef WEFT_FIB_H
#define WEFT_FIB_H

#include <stddef.h>
#include <stdint.h>

/* What a lookup finds when no prefix covers the address. Results are smaller. */
#define FIB_NONE 0x7fffffffu

struct fib_route {
    uint8_t prefix[16]; /* network byte order; IPv4 uses the first four bytes */
    uint8_t family;     /* 4 or 6 */
    uint8_t length;     /* bits */
    uint32_t result;    /* less than FIB_NONE */
};

struct fib;

/*
 * Builds a table from n routes (in any order, not modified; of two equal prefixes the one with the larger result wins).
 * Returns null with errno EINVAL (a bad length, family or result) or ENOMEM. The caller frees with fib_free.
 */
struct fib *fib_build(const struct fib_route *routes, size_t n);
void fib_free(struct fib *fib);

/* The result of the longest prefix that covers the address (4 or 16 bytes, network order), or FIB_NONE. */
uint32_t fib_lookup(const struct fib *fib, int family, const uint8_t *address);

#endif
