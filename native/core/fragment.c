/* Cutting IPv4 packets. */
#include "fragment.h"

#include "checksum.h"

enum {
    IPV4_FLAGS = 6,
    MORE_FRAGMENTS = 0x2000,
    OFFSET_MASK = 0x1fff,
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_COPIED = 0x80,
};

void fragment_begin(struct fragments *f, size_t mtu, const uint8_t *headers, size_t ip_len,
                    size_t header_len, uint8_t *payload, size_t payload_len)
{
    *f = (struct fragments){
        .headers = headers,
        .ip_len = ip_len,
        .header_len = header_len,
        .payload = payload,
        .payload_len = payload_len,
        .room = mtu - ip_len,
    };
}

/* Options that stay with the first fragment become no-operations in the others, so that all headers are equally long. */
static void blank_options(uint8_t *options, size_t len)
{
    for (size_t i = 0; i < len && options[i] != OPTION_END;) {
        if (options[i] == OPTION_NOP) {
            i++;
            continue;
        }
        if (i + 1 >= len || options[i + 1] < 2 || options[i + 1] > len - i)
            return;
        size_t size = options[i + 1];
        if (!(options[i] & OPTION_COPIED))
            memset(options + i, OPTION_NOP, size);
        i += size;
    }
}

size_t fragment_next(struct fragments *f, uint8_t *out, uint8_t **payload, size_t *payload_len)
{
    size_t upper = f->header_len - f->ip_len; /* of the headers, behind the IPv4 header */
    size_t left = upper + f->payload_len - f->offset;
    if (left == 0)
        return 0;
    bool last = left <= f->room;
    size_t size = last ? left : f->room & ~(size_t)7;
    size_t header_len = f->offset == 0 ? f->header_len : f->ip_len;
    memcpy(out, f->headers, header_len);
    if (f->offset > 0)
        blank_options(out + IPV4_HEADER, f->ip_len - IPV4_HEADER);

    if (f->offset > 0 || !last) {
        unsigned field = get16(out + IPV4_FLAGS); /* the packet may itself be a fragment */
        unsigned place = (field & OFFSET_MASK) + (unsigned)(f->offset / 8);
        unsigned more = last ? field & MORE_FRAGMENTS : MORE_FRAGMENTS;
        put16(out + IPV4_FLAGS, more | (place & OFFSET_MASK));
    }
    struct ip_info ip = {.family = 4, .upper = f->ip_len};
    ip_set_length(out, &ip, f->ip_len + size);

    *payload = f->payload + (f->offset == 0 ? 0 : f->offset - upper);
    *payload_len = f->ip_len + size - header_len;
    f->offset += size;
    return header_len;
}
