/* ARP request → reply, neighbour solicitation → advertisement. Pure; who may ask and how often is forward.c's. */
#include "neighbour.h"

#include "checksum.h"

enum {
    ARP_SIZE = 28,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
    ND_SOLICITATION = 135,
    ND_ADVERTISEMENT = 136,
    ND_SIZE = 24,       /* type, code, checksum, reserved or flags, target */
    ND_OPTION_SIZE = 8, /* link-layer address option for Ethernet */
    ND_TARGET_LINK_ADDRESS = 2,
    ND_HOP_LIMIT = 255,
};

size_t arp_answer(const struct self_row *self, const uint8_t *data, size_t len, uint8_t *out,
                  uint8_t asker[MAC_SIZE])
{
    /* Hardware type Ethernet, protocol IPv4, sizes 6 and 4, request. */
    static const uint8_t request[8] = {0, 1, 8, 0, 6, 4, 0, ARP_REQUEST};
    if (len < ARP_SIZE || memcmp(data, request, sizeof request) != 0)
        return 0;
    const uint8_t *sender_mac = data + 8, *sender_ip = data + 14, *target_ip = data + 24;
    if (!self_has_address(self, 4, target_ip))
        return 0;
    memcpy(asker, sender_mac, MAC_SIZE);
    memcpy(out, request, 7);
    out[7] = ARP_REPLY;
    memcpy(out + 8, self->mac[0], MAC_SIZE);
    memcpy(out + 14, target_ip, 4);
    memcpy(out + 18, sender_mac, MAC_SIZE);
    memcpy(out + 24, sender_ip, 4);
    return ARP_SIZE;
}

bool ndp_is(const uint8_t *data, const struct ip_info *ip)
{
    return ip->family == 6 && ip->proto == PROTO_ICMPV6 && !ip->fragment && ip->upper < ip->len &&
           data[ip->upper] >= 133 && data[ip->upper] <= 137;
}

/* RFC 4861 4.6, 7.1.1: type, length in units of eight bytes, which is never zero; they fill the message. */
static bool options_valid(const uint8_t *options, size_t len)
{
    while (len >= ND_OPTION_SIZE && options[1] != 0 && options[1] * 8u <= len) {
        len -= options[1] * 8u;
        options += options[1] * 8u;
    }
    return len == 0;
}

size_t ndp_answer(const struct self_row *self, const uint8_t *data, const struct ip_info *ip,
                  const uint8_t frame_source[MAC_SIZE], uint8_t *out, uint8_t asker[MAC_SIZE])
{
    static const uint8_t unspecified[16];
    const uint8_t *ns = data + ip->upper;
    size_t ns_len = ip->len - ip->upper;
    if (ip->ttl != ND_HOP_LIMIT || ns_len < ND_SIZE || ns[0] != ND_SOLICITATION || ns[1] != 0 ||
        !options_valid(ns + ND_SIZE, ns_len - ND_SIZE))
        return 0;
    const uint8_t *target = ns + 8;
    if (!self_has_address(self, 6, target) || memcmp(ip->src, unspecified, 16) == 0)
        return 0;
    uint64_t sum = csum_pseudo(6, ip->src, ip->dst, PROTO_ICMPV6, (uint32_t)ns_len);
    if (csum_finish(sum + csum_bytes(ns, ns_len)) != 0)
        return 0;
    memcpy(asker, frame_source, MAC_SIZE);

    enum { NA_LEN = ND_SIZE + ND_OPTION_SIZE };
    memset(out, 0, IPV6_HEADER + NA_LEN);
    out[0] = 6 << 4;
    put16(out + 4, NA_LEN);
    out[6] = PROTO_ICMPV6;
    out[7] = ND_HOP_LIMIT;
    memcpy(out + 8, target, 16);
    memcpy(out + 24, ip->src, 16);
    uint8_t *na = out + IPV6_HEADER;
    na[0] = ND_ADVERTISEMENT;
    na[4] = 0xe0; /* router, solicited, override */
    memcpy(na + 8, target, 16);
    na[24] = ND_TARGET_LINK_ADDRESS;
    na[25] = 1; /* in units of eight bytes */
    memcpy(na + 26, self->mac[1], MAC_SIZE);
    sum = csum_pseudo(6, out + 8, out + 24, PROTO_ICMPV6, NA_LEN);
    put16(na + 2, csum_finish(sum + csum_bytes(na, NA_LEN)));
    return IPV6_HEADER + NA_LEN;
}
