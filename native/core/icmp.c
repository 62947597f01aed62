/* Building ICMP (RFC 792) and ICMPv6 (RFC 4443) errors, and limiting them. */
#include "icmp.h"

#include "checksum.h"
#include "path.h"

enum {
    ICMP4_QUOTE_MAX = 576 - IPV4_HEADER - ICMP_HEADER,
    ICMP6_QUOTE_MAX = ICMP_ERROR_MAX - IPV6_HEADER - ICMP_HEADER,
    REPLY_TTL = 64,
};

/* Type and code per reason, in both families; a zero ICMPv4 type (echo reply) stands for "no error". */
struct icmp_kind {
    uint8_t type4, code4, type6, code6;
};
static const struct icmp_kind kinds[DROP_COUNT] = {
    [DROP_no_route] = {3, 0, 1, 0},   /* network unreachable · no route to destination */
    [DROP_own_subnet] = {3, 1, 1, 3}, /* host unreachable · address unreachable */
    [DROP_family] = {3, 0, 1, 0},
    [DROP_ttl] = {11, 0, 3, 0},    /* TTL exceeded in transit · hop limit exceeded */
    [DROP_too_big] = {3, 4, 2, 0}, /* fragmentation needed · packet too big */
    [DROP_nested] = {3, 13, 1, 1}, /* administratively prohibited */
};

bool bucket_take(struct bucket *b, uint32_t capacity, uint32_t per_second, uint64_t now_ms)
{
    /* At most a capacity's worth of time counts, so the product below stays small. */
    uint64_t full_ms = 1000ull * capacity / per_second;
    uint64_t elapsed = now_ms - b->updated_ms < full_ms ? now_ms - b->updated_ms : full_ms;
    uint64_t refill = elapsed * per_second;
    b->spent = refill >= b->spent ? 0 : b->spent - (uint32_t)refill;
    b->updated_ms = now_ms;
    if (b->spent + 1000 > capacity * 1000)
        return false;
    b->spent += 1000;
    return true;
}

bool icmp_allowed(struct icmp_limiter *limiter, enum drop reason, int family,
                  const uint8_t *address, uint64_t now_ms)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < ip_address_size(family); i++)
        hash = (hash ^ address[i]) * 0x01000193u; /* FNV-1a */
    struct bucket *target = &limiter->targets[(hash ^ (hash >> 16)) % ICMP_TARGETS];
    return (reason == DROP_too_big || bucket_take(target, 6, 1, now_ms)) &&
           bucket_take(&limiter->total, 50, 1000, now_ms);
}

bool icmp_answers(enum drop reason)
{
    return kinds[reason].type4 != 0;
}

/* An ICMP error, or an ICMP packet too short to tell. */
static bool is_icmp_error(const uint8_t *data, const struct ip_info *ip)
{
    if (ip->proto != PROTO_ICMP && ip->proto != PROTO_ICMPV6)
        return false;
    if (ip->upper >= ip->len)
        return true;
    uint8_t type = data[ip->upper];
    if (ip->proto == PROTO_ICMPV6)
        return type < 128 || type == 137; /* RFC 4443 2.1; redirects count as errors */
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* Type, code, checksum and the second word, followed by the quote that is already in place. */
static void write_icmp(uint8_t *icmp, uint8_t type, uint8_t code, uint32_t word, size_t len,
                       uint64_t pseudo)
{
    icmp[0] = type;
    icmp[1] = code;
    put16(icmp + 2, 0);
    put32(icmp + 4, word);
    put16(icmp + 2, csum_finish(pseudo + csum_bytes(icmp, len)));
}

static size_t error4(uint8_t *out, const struct icmp_kind *kind, uint32_t word,
                     const struct self_row *self, const uint8_t *data, const struct ip_info *ip)
{
    size_t quote = ip->len < ICMP4_QUOTE_MAX ? ip->len : ICMP4_QUOTE_MAX;
    size_t total = IPV4_HEADER + ICMP_HEADER + quote;
    memset(out, 0, IPV4_HEADER);
    out[0] = 0x45;
    out[1] = 0xc0; /* internetwork control, RFC 1812 4.3.2.5 */
    put16(out + 2, (unsigned)total);
    out[8] = REPLY_TTL;
    out[9] = PROTO_ICMP;
    memcpy(out + 12, self->address4, 4);
    memcpy(out + 16, ip->src, 4);
    put16(out + 10, csum_finish(csum_bytes(out, IPV4_HEADER)));
    uint8_t *icmp = out + IPV4_HEADER;
    memcpy(icmp + ICMP_HEADER, data, quote);
    write_icmp(icmp, kind->type4, kind->code4, word, ICMP_HEADER + quote, 0);
    return total;
}

static size_t error6(uint8_t *out, const struct icmp_kind *kind, uint32_t word,
                     const struct self_row *self, const uint8_t *data, const struct ip_info *ip)
{
    size_t quote = ip->len < ICMP6_QUOTE_MAX ? ip->len : ICMP6_QUOTE_MAX;
    size_t payload = ICMP_HEADER + quote;
    memset(out, 0, IPV6_HEADER);
    out[0] = 6 << 4;
    put16(out + 4, (unsigned)payload);
    out[6] = PROTO_ICMPV6;
    out[7] = REPLY_TTL;
    memcpy(out + 8, self->address6, 16);
    memcpy(out + 24, ip->src, 16);
    uint8_t *icmp = out + IPV6_HEADER;
    memcpy(icmp + ICMP_HEADER, data, quote);
    write_icmp(icmp, kind->type6, kind->code6, word, payload,
               csum_pseudo(6, out + 8, out + 24, PROTO_ICMPV6, (uint32_t)payload));
    return IPV6_HEADER + payload;
}

size_t icmp_error(uint8_t *out, enum drop reason, const struct self_row *self, uint32_t mtu,
                  const uint8_t *data, const struct ip_info *ip)
{
    static const uint8_t absent[16];
    const uint8_t *source = ip->family == 4 ? self->address4 : self->address6;
    if (!icmp_answers(reason) || ip->later_fragment || is_icmp_error(data, ip) ||
        memcmp(source, absent, ip_address_size(ip->family)) == 0)
        return 0;
    /* RFC 1191 4, RFC 4443 3.2; every IPv6 link carries 1280 bytes, so less is not said (RFC 8200 5). */
    uint32_t least = ip->family == 4 ? 0 : PATH_MTU_MIN6;
    uint32_t word = reason != DROP_too_big ? 0 : mtu < least ? least : mtu;
    return (ip->family == 4 ? error4 : error6)(out, &kinds[reason], word, self, data, ip);
}
