/* Building packets byte by byte. */
#include "packets.h"

#include <arpa/inet.h>
#include <stdlib.h>

void parse_address(const char *text, uint8_t *out)
{
    if (inet_pton(strchr(text, ':') != NULL ? AF_INET6 : AF_INET, text, out) != 1)
        abort();
}

uint16_t model_sum(uint16_t sum, const uint8_t *data, size_t len)
{
    uint32_t wide = sum;
    for (size_t i = 0; i < len; i++) {
        wide += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
        if (wide > 0xffff)
            wide -= 0xffff;
    }
    return (uint16_t)wide;
}

static size_t checksum_offset(uint8_t proto)
{
    switch (proto) {
    case PROTO_TCP:
        return 16;
    case PROTO_UDP:
        return 6;
    default:
        return 2; /* ICMP and ICMPv6 */
    }
}

static bool has_checksum(uint8_t proto)
{
    return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_ICMP || proto == PROTO_ICMPV6;
}

static uint16_t pseudo_sum(const struct sample *s)
{
    uint8_t pseudo[40] = {0};
    size_t address = s->family == 4 ? 4 : 16, len = s->len - s->upper;
    if (s->proto == PROTO_ICMP)
        return 0;
    memcpy(pseudo, s->data + (s->family == 4 ? 12 : 8), 2 * address);
    put32(pseudo + 2 * address, (uint32_t)len);
    pseudo[2 * address + 7] = s->proto;
    return model_sum(0, pseudo, 2 * address + 8);
}

void seal(const struct sample *s)
{
    if (s->family == 4) {
        put16(s->data + 10, 0);
        put16(s->data + 10, (uint16_t)~model_sum(0, s->data, (size_t)(s->data[0] & 15) * 4));
    }
    if (!has_checksum(s->proto) || s->len < s->upper + checksum_offset(s->proto) + 2)
        return;
    uint8_t *field = s->data + s->upper + checksum_offset(s->proto);
    put16(field, 0);
    uint16_t sum = (uint16_t)~model_sum(pseudo_sum(s), s->data + s->upper, s->len - s->upper);
    put16(field, sum == 0 ? 0xffff : sum);
}

void make_partial(const struct sample *s)
{
    put16(s->data + s->upper + checksum_offset(s->proto), pseudo_sum(s));
}

static size_t upper_header(const struct spec *spec, uint8_t proto)
{
    switch (proto) {
    case PROTO_TCP:
        return TCP_HEADER + spec->tcp_options;
    case PROTO_UDP:
    case PROTO_ICMP:
    case PROTO_ICMPV6:
        return 8;
    default:
        return 0;
    }
}

static void write_ip(const struct spec *spec, const struct sample *s)
{
    uint8_t *data = s->data, ttl = spec->ttl == 0 ? 64 : spec->ttl;
    size_t header = s->family == 4 ? IPV4_HEADER : IPV6_HEADER;
    if (s->family == 4) {
        data[0] = (uint8_t)(0x40 | s->upper / 4);
        put16(data + 2, (unsigned)s->len);
        put16(data + 4, 0xfffe); /* an id that wraps soon */
        put16(data + 6, spec->fragment);
        data[8] = ttl;
        data[9] = s->proto;
    } else {
        data[0] = 0x60;
        put16(data + 4, (unsigned)(s->len - IPV6_HEADER));
        data[6] = spec->extra_len > 0 ? spec->first_extension : s->proto;
        data[7] = ttl;
    }
    if (spec->extra_len > 0)
        memcpy(data + header, spec->extra, spec->extra_len);
    parse_address(spec->src != NULL ? spec->src
                  : s->family == 4  ? "10.42.1.5"
                                    : "fd00:42:1::5",
                  data + (s->family == 4 ? 12 : 8));
    parse_address(spec->dst != NULL ? spec->dst : "10.42.2.5", data + (s->family == 4 ? 16 : 24));
}

static void write_upper(const struct spec *spec, const struct sample *s)
{
    uint8_t *upper = s->data + s->upper;
    switch (s->proto) {
    case PROTO_TCP:
        put32(upper + 4, 0xffffff00); /* a sequence number that wraps soon */
        upper[12] = (uint8_t)((TCP_HEADER + spec->tcp_options) / 4 << 4);
        upper[13] = spec->tcp_flags;
        memset(upper + TCP_HEADER, 1, spec->tcp_options); /* no-operation */
        break;
    case PROTO_UDP:
        put16(upper + 4, (unsigned)(s->len - s->upper));
        break;
    case PROTO_ICMP:
        upper[0] = 8; /* echo request */
        upper[1] = 0;
        break;
    case PROTO_ICMPV6:
        upper[0] = 128;
        upper[1] = 0;
        break;
    default:
        break;
    }
}

struct sample make_sample(const struct spec *spec)
{
    struct sample s = {.proto = spec->proto == 0 ? PROTO_UDP : spec->proto};
    s.family = spec->dst != NULL && strchr(spec->dst, ':') != NULL ? 6 : 4;
    s.upper = (s.family == 4 ? (size_t)IPV4_HEADER : (size_t)IPV6_HEADER) + spec->extra_len;
    s.len = s.upper + upper_header(spec, s.proto) + spec->payload;
    s.data = (uint8_t *)owned(HEADROOM + s.len) + HEADROOM;
    random_bytes(s.data + s.upper, s.len - s.upper);
    write_ip(spec, &s);
    write_upper(spec, &s);
    seal(&s);
    return s;
}

struct packet plain_packet(const struct sample *s)
{
    return (struct packet){.data = s->data, .len = s->len};
}

struct packet super_packet(const struct sample *s, uint16_t mss)
{
    make_partial(s);
    return (struct packet){
        .data = s->data,
        .len = s->len,
        .gso = s->proto == PROTO_TCP ? GSO_TCP : GSO_UDP,
        .mss = mss,
        .partial = true,
        .csum_start = (uint16_t)s->upper,
        .csum_offset = (uint16_t)checksum_offset(s->proto),
    };
}

bool packet_valid(const uint8_t *data, size_t len, size_t upper, uint8_t proto)
{
    const struct sample s = {.data = owned_copy(data, len),
                             .len = len,
                             .family = data[0] >> 4,
                             .proto = proto,
                             .upper = upper};
    size_t total = s.family == 4 ? get16(data + 2) : (size_t)IPV6_HEADER + get16(data + 4);
    bool header = s.family == 6 || model_sum(0, data, (size_t)(data[0] & 15) * 4) == 0xffff;
    bool udp = proto != PROTO_UDP || get16(data + upper + 4) == len - upper;
    return total == len && header && udp &&
           (!has_checksum(proto) || model_sum(pseudo_sum(&s), data + upper, len - upper) == 0xffff);
}
