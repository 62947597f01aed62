/* Reading a target's input, and the slow second opinions that several targets compare with. */
#include "fuzz.h"

#include "../core/gso.h"

/* --- input ---------------------------------------------------------------------------------------------------- */

void take_bytes(struct input *in, void *out, size_t size)
{
    size_t n = size < in->left ? size : in->left;
    memset(out, 0, size);
    if (n > 0)
        memcpy(out, in->data, n);
    in->data += n;
    in->left -= n;
}

uint8_t take8(struct input *in)
{
    uint8_t byte;
    take_bytes(in, &byte, 1);
    return byte;
}

uint16_t take16(struct input *in)
{
    uint8_t bytes[2];
    take_bytes(in, bytes, 2);
    return get16(bytes);
}

struct bytes take_rest(struct input *in, size_t headroom)
{
    struct bytes rest = {(uint8_t *)owned(headroom + in->left) + headroom, in->left};
    take_bytes(in, rest.data, rest.len);
    return rest;
}

/* --- packets -------------------------------------------------------------------------------------------------- */

static bool find_layout4(struct sample *s)
{
    size_t header = (size_t)(s->data[0] & 15) * 4, total = get16(s->data + 2);
    if (header < IPV4_HEADER || total < header || total > s->len || (get16(s->data + 6) & 0x1fff))
        return false;
    s->len = total;
    s->upper = header;
    s->proto = s->data[9];
    return true;
}

static bool find_layout6(struct sample *s)
{
    size_t total = IPV6_HEADER + (size_t)get16(s->data + 4);
    if (total > s->len)
        return false;
    s->len = total;
    s->upper = IPV6_HEADER;
    s->proto = s->data[6];
    while (s->proto == 0 || s->proto == 43 || s->proto == 44 || s->proto == 60) {
        if (s->len - s->upper < 8)
            return true;
        const uint8_t *extension = s->data + s->upper;
        size_t size = s->proto == 44 ? 8 : 8 + 8 * (size_t)extension[1];
        if (s->len - s->upper < size)
            return true;
        if (s->proto == 44 && get16(extension + 2) >> 3 != 0)
            return false;
        s->proto = extension[0];
        s->upper += size;
    }
    return true;
}

bool find_layout(uint8_t *data, size_t len, struct sample *s)
{
    *s = (struct sample){.data = data, .len = len};
    if (len < IPV4_HEADER)
        return false;
    s->family = data[0] >> 4;
    return s->family == 4   ? find_layout4(s)
           : s->family == 6 ? len >= IPV6_HEADER && find_layout6(s)
                            : false;
}

void seal_header(uint8_t *data, size_t len)
{
    size_t header = len < IPV4_HEADER ? 0 : (size_t)(data[0] & 15) * 4;
    if (header < IPV4_HEADER || header > len || data[0] >> 4 != 4)
        return;
    put16(data + 10, 0);
    put16(data + 10, (uint16_t)~model_sum(0, data, header));
}

void check_icmp_error(const uint8_t *error, size_t len, const uint8_t *about, size_t about_len)
{
    bool v4 = about[0] >> 4 == 4;
    size_t headers = (v4 ? IPV4_HEADER : IPV6_HEADER) + 8;
    if (!CHECK(len > headers && len <= (v4 ? 576 : 1280)))
        return;
    CHECK(packet_valid(error, len, headers - 8, v4 ? PROTO_ICMP : PROTO_ICMPV6));
    CHECK(len - headers <= about_len);
    CHECK(len == (v4 ? 576 : 1280) || len - headers == about_len);
    CHECK_BYTES(error + headers, about, len - headers);
    /* To the sender of the packet, from an address of ours. */
    struct self_row self = bed_self();
    size_t address = v4 ? 4 : 16, source = v4 ? 12 : 8;
    CHECK_BYTES(error + source + address, about + source, address);
    CHECK_BYTES(error + source, v4 ? self.address4 : self.address6, address);
}

void cut_super_packet(const struct packet *head, const struct iovec *tail, size_t tails,
                      struct packets *into)
{
    size_t len = head->len;
    for (size_t i = 0; i < tails; i++)
        len += tail[i].iov_len;
    uint8_t *whole = owned(len), *end = whole + head->len;
    memcpy(whole, head->data, head->len);
    for (size_t i = 0; i < tails; end += tail[i++].iov_len)
        memcpy(end, tail[i].iov_base, tail[i].iov_len);

    struct packet super = *head;
    struct gso_segments gso;
    uint8_t headers[GSO_HEADER_MAX], *payload;
    size_t payload_len;
    super.data = whole;
    super.len = len;
    if (!CHECK_EQ(ip_parse(whole, len, &super.ip), DROP_NONE) || !CHECK_EQ(super.ip.len, len) ||
        !CHECK_EQ(gso_begin(&gso, &super, &super.ip), DROP_NONE))
        return;
    while (gso_next(&gso, headers, &payload, &payload_len)) {
        struct bytes *b = &into->list[into->count];
        if (!CHECK(into->count++ < sizeof into->list / sizeof *into->list))
            return;
        *b = (struct bytes){owned(gso.header_len + payload_len), gso.header_len + payload_len};
        memcpy(b->data, headers, gso.header_len);
        memcpy(b->data + gso.header_len, payload, payload_len);
    }
}
