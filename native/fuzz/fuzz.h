/*
 * What the fuzz targets share. A target is a function that takes a file's bytes, reads choices and packets from them,
 * runs code of core/, io/ or sys/ on these, and checks what came out with the checks of the unit tests. It has two
 * callers: libFuzzer, which makes up the bytes (entry.c), and the unit tests, which replay those kept in corpus/
 * (test/corpus_test.c).
 */
#ifndef WEFT_FUZZ_H
#define WEFT_FUZZ_H

#include "../test/bed.h"

#define TARGET(name, sentence) void fuzz_##name(const uint8_t *data, size_t size);
#include "targets.def"
#undef TARGET

/* The bytes of a file that are not used up yet. Behind the end everything is zero. */
struct input {
    const uint8_t *data;
    size_t left;
};
uint8_t take8(struct input *in);
uint16_t take16(struct input *in); /* big-endian */
/* Copies up to `size` bytes to `out` and fills up with zeros. */
void take_bytes(struct input *in, void *out, size_t size);
/* What is left, `headroom` bytes into memory of exactly the size for both. */
struct bytes take_rest(struct input *in, size_t headroom);

/*
 * Finds the layout of an IP packet by a walk of its own, which shares nothing with ip_parse. False when a header
 * does not fit, or the packet is a later fragment: then there is no upper layer to look at.
 */
bool find_layout(uint8_t *data, size_t len, struct sample *s);

/* Makes the IPv4 header checksum of a packet right, where its header fits. */
void seal_header(uint8_t *data, size_t len);

/* Checks that an ICMP error of `len` bytes has valid lengths and checksums, and quotes the packet it is about. */
void check_icmp_error(const uint8_t *error, size_t len, const uint8_t *about, size_t about_len);

/* The whole packets that a super-packet with a tail stands for, cut by core/gso.c. */
struct packets {
    struct bytes list[128];
    size_t count;
};
void cut_super_packet(const struct packet *head, const struct iovec *tail, size_t tails,
                      struct packets *into);

#endif
