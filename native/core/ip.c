/* IPv4 and IPv6 headers: checks, TTL, and the checksums of the TCP or UDP header behind them. */
#include "ip.h"

#include "checksum.h"

enum {
    IPV4_OPTION_END = 0,
    IPV4_OPTION_NOP = 1,
    IPV4_OPTION_LSRR = 131,
    IPV4_OPTION_SSRR = 137,
    IPV6_HOP_BY_HOP = 0,
    IPV6_ROUTING = 43,
    IPV6_FRAGMENT = 44,
    IPV6_DESTINATION = 60,
};

/* RFC 791 3.1: a list of type or type-length-value. A malformed one is left to the receiver, as routers do. */
static bool has_source_route(const uint8_t *options, size_t len)
{
    for (size_t i = 0; i < len && options[i] != IPV4_OPTION_END;) {
        if (options[i] == IPV4_OPTION_LSRR || options[i] == IPV4_OPTION_SSRR)
            return true;
        if (options[i] == IPV4_OPTION_NOP) {
            i++;
        } else {
            if (i + 1 >= len || options[i + 1] < 2)
                return false;
            i += options[i + 1];
        }
    }
    return false;
}

static enum drop parse4(const uint8_t *data, size_t len, struct ip_info *ip)
{
    if (len < IPV4_HEADER)
        return DROP_runt;
    size_t header = (size_t)(data[0] & 0x0f) * 4;
    size_t total = get16(data + 2);
    if (header < IPV4_HEADER || total < header)
        return DROP_bad_header;
    if (total > len)
        return DROP_runt;
    if (csum_finish(csum_bytes(data, header)) != 0)
        return DROP_bad_checksum;
    if (has_source_route(data + IPV4_HEADER, header - IPV4_HEADER))
        return DROP_source_route;
    unsigned fragment = get16(data + 6) & 0x3fff; /* MF and offset */
    *ip = (struct ip_info){
        .family = 4,
        .tos = data[1],
        .ttl = data[8],
        .proto = data[9],
        .fragment = fragment != 0,
        .later_fragment = (fragment & 0x1fff) != 0,
        .upper = header,
        .len = total,
        .src = data + 12,
        .dst = data + 16,
    };
    return DROP_NONE;
}

/*
 * RFC 8200 4: walks the extension headers. A chain that is cut off ends the walk; what is behind it is opaque. A
 * routing header of type 0 that has not arrived is a source route (RFC 5095).
 */
static enum drop walk_extensions(const uint8_t *data, struct ip_info *ip)
{
    for (;;) {
        bool fragment = ip->proto == IPV6_FRAGMENT;
        bool extension = fragment || ip->proto == IPV6_HOP_BY_HOP || ip->proto == IPV6_ROUTING ||
                         ip->proto == IPV6_DESTINATION;
        if (!extension || ip->later_fragment || ip->upper + 8 > ip->len)
            return DROP_NONE;
        const uint8_t *header = data + ip->upper;
        size_t size = fragment ? 8 : (size_t)header[1] * 8 + 8;
        if (ip->upper + size > ip->len)
            return DROP_NONE;
        if (ip->proto == IPV6_ROUTING && header[3] != 0) {
            if (header[2] == 0)
                return DROP_source_route;
            ip->routed = true;
        }
        if (fragment) {
            ip->fragment = true;
            ip->later_fragment = (get16(header + 2) & 0xfff8) != 0;
        }
        ip->proto = header[0];
        ip->upper += size;
    }
}

static enum drop parse6(const uint8_t *data, size_t len, struct ip_info *ip)
{
    if (len < IPV6_HEADER)
        return DROP_runt;
    size_t total = IPV6_HEADER + (size_t)get16(data + 4);
    if (total > len)
        return DROP_runt;
    *ip = (struct ip_info){
        .family = 6,
        .tos = (uint8_t)(get16(data) >> 4),
        .ttl = data[7],
        .proto = data[6],
        .upper = IPV6_HEADER,
        .len = total,
        .src = data + 8,
        .dst = data + 24,
    };
    return walk_extensions(data, ip);
}

enum drop ip_parse(const uint8_t *data, size_t len, struct ip_info *ip)
{
    if (len == 0)
        return DROP_runt;
    switch (data[0] >> 4) {
    case 4:
        return parse4(data, len, ip);
    case 6:
        return parse6(data, len, ip);
    default:
        return DROP_bad_header;
    }
}

static enum drop check_addresses4(const uint8_t *src, const uint8_t *dst)
{
    /* RFC 1122 3.2.1.3: this-network, loopback, multicast and reserved addresses are no sources. */
    if (src[0] == 0 || src[0] == 127 || src[0] >= 224)
        return DROP_martian;
    if (dst[0] >= 224 && dst[0] < 240)
        return DROP_bcast_mcast;
    if (get32(dst) == 0xffffffff)
        return DROP_bcast_mcast;
    if (dst[0] == 0 || dst[0] == 127 || dst[0] >= 240)
        return DROP_martian;
    return DROP_NONE;
}

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

void ip_map(int family, const uint8_t *address, uint8_t out[16])
{
    memcpy(out, mapped_prefix, sizeof mapped_prefix);
    memcpy(out + 16 - ip_address_size(family), address, ip_address_size(family));
}

bool ip_is_mapped(const uint8_t address[16])
{
    return memcmp(address, mapped_prefix, sizeof mapped_prefix) == 0;
}

/* Not unspecified, loopback, mapped IPv4 or link-local (RFC 4291 2.5.2, 2.5.3, 2.5.5.2, 2.5.6). */
static bool travels6(const uint8_t *address)
{
    static const uint8_t zeros[15];
    bool unspecified_or_loopback = memcmp(address, zeros, 15) == 0 && address[15] <= 1;
    bool link_local = address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
    return !unspecified_or_loopback && !link_local && !ip_is_mapped(address);
}

static enum drop check_addresses6(const uint8_t *src, const uint8_t *dst)
{
    /* Multicast first: hosts send such packets from :: and link-local addresses all the time. */
    if (dst[0] == 0xff)
        return DROP_bcast_mcast;
    if (src[0] == 0xff || !travels6(src) || !travels6(dst))
        return DROP_martian;
    return DROP_NONE;
}

enum drop ip_check_addresses(const struct ip_info *ip)
{
    return ip->family == 4 ? check_addresses4(ip->src, ip->dst)
                           : check_addresses6(ip->src, ip->dst);
}

bool ip_merge_ecn(uint8_t *data, struct ip_info *ip, uint8_t outer_tos)
{
    enum { NOT_ECT, ECT1, ECT0, CE, DROP };
    static const uint8_t merged[4][4] = {
        /* outer:   NOT_ECT  ECT1     ECT0     CE */
        [NOT_ECT] = {NOT_ECT, NOT_ECT, NOT_ECT, DROP},
        [ECT1] = {ECT1, ECT1, ECT1, CE},
        [ECT0] = {ECT0, ECT1, ECT0, CE},
        [CE] = {CE, CE, CE, CE},
    };
    uint8_t inner = ip->tos & 3, result = merged[inner][outer_tos & 3];
    if (result == DROP)
        return false;
    if (result == inner)
        return true;
    ip->tos = (uint8_t)((ip->tos & ~3) | result);
    uint16_t before = get16(data); /* version and, with what is in between, the TOS */
    if (ip->family == 6) {
        put16(data, (before & ~0x0030u) | (unsigned)result << 4);
        return true;
    }
    data[1] = ip->tos;
    put16(data + 10, csum_update(get16(data + 10), before, get16(data)));
    return true;
}

void ip_decrement_ttl(uint8_t *data, int family)
{
    if (family == 6) {
        data[7]--;
        return;
    }
    uint16_t before = get16(data + 8); /* TTL and protocol share a 16-bit word */
    data[8]--;
    put16(data + 10, csum_update(get16(data + 10), before, get16(data + 8)));
}

void ip_set_length(uint8_t *data, const struct ip_info *ip, size_t len)
{
    if (ip->family == 6) {
        put16(data + 4, (unsigned)(len - IPV6_HEADER));
        return;
    }
    put16(data + 2, (unsigned)len);
    put16(data + 10, 0);
    put16(data + 10, csum_finish(csum_bytes(data, ip->upper)));
}

void ip_make_partial(struct packet *p, size_t len)
{
    const struct ip_info *ip = &p->ip;
    p->partial = true;
    p->csum_start = (uint16_t)ip->upper;
    p->csum_offset = ip_csum_offset(ip->proto);
    uint64_t pseudo =
        csum_pseudo(ip->family, ip->src, ip->dst, ip->proto, (uint32_t)(len - ip->upper));
    put16(p->data + p->csum_start + p->csum_offset, csum_fold(pseudo));
}

void ip_complete_checksum(struct packet *p, const struct ip_info *ip)
{
    uint8_t *field = p->data + p->csum_start + p->csum_offset;
    /* The field takes part in the sum: it holds the pseudo-header's. */
    uint16_t sum = csum_finish(csum_bytes(p->data + p->csum_start, ip->len - p->csum_start));
    put16(field, sum == 0 && ip->proto == PROTO_UDP ? 0xffff : sum);
    p->partial = false;
}

enum csum_state ip_checksum_state(const uint8_t *data, const struct ip_info *ip)
{
    uint16_t offset = ip_csum_offset(ip->proto);
    size_t upper_len = ip->len - ip->upper;
    if (offset == 0 || ip->fragment || ip->routed || upper_len < (size_t)offset + 2)
        return CSUM_NONE;
    uint16_t field = get16(data + ip->upper + offset);
    if (field == 0 && ip->proto == PROTO_UDP)
        return CSUM_NONE;
    uint64_t pseudo = csum_pseudo(ip->family, ip->src, ip->dst, ip->proto, (uint32_t)upper_len);
    if (csum_finish(pseudo + csum_bytes(data + ip->upper, upper_len)) == 0)
        return CSUM_GOOD;
    return field == csum_fold(pseudo) ? CSUM_PARTIAL : CSUM_BAD;
}
