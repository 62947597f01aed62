/*
 * A packet that ip_parse lets through → icmp_error for any reason: nothing about what must not be answered, and
 * nothing in it but bytes of the packet.
 *
 * File: reason, choices, MTU (2), packet.
 */
#include "fuzz.h"

#include "../core/icmp.h"

static bool is_error(const struct sample *s)
{
    const uint8_t *type = s->data + s->upper;
    if (s->proto != PROTO_ICMP && s->proto != PROTO_ICMPV6)
        return false;
    if (s->upper >= s->len)
        return true;
    return s->proto == PROTO_ICMPV6 ? *type < 128 || *type == 137
                                    : (*type >= 3 && *type <= 5) || *type == 11 || *type == 12;
}

void fuzz_icmp(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    enum drop reason = take8(&in) % DROP_COUNT;
    uint8_t choices = take8(&in);
    uint16_t mtu = take16(&in);
    struct bytes packet = take_rest(&in, 0);
    struct self_row self = bed_self();
    struct ip_info ip;
    struct sample s;
    if (!(choices & 1))
        seal_header(packet.data, packet.len);
    if (choices & 2)
        memset(self.address4, 0, 4);
    if (choices & 4)
        memset(self.address6, 0, 16);
    bool whole = find_layout(packet.data, packet.len, &s);
    if (ip_parse(packet.data, packet.len, &ip) != DROP_NONE)
        return;
    uint8_t *before = owned_copy(packet.data, packet.len), *out = owned(ICMP_ERROR_MAX);
    size_t len = icmp_error(out, reason, &self, mtu, packet.data, &ip);
    CHECK_BYTES(packet.data, before, packet.len);
    bool allowed =
        icmp_answers(reason) && whole && !is_error(&s) && !(choices & (s.family == 4 ? 2 : 4));
    CHECK_EQ(len > 0, allowed);
    if (len == 0)
        return;
    check_icmp_error(out, len, before, s.len);
    uint32_t said = get32(out + (s.family == 4 ? IPV4_HEADER : IPV6_HEADER) + 4);
    CHECK_EQ(said, reason != DROP_too_big ? 0 : s.family == 6 && mtu < 1280 ? 1280 : mtu);
}
