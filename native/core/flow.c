/* A multiplicative hash over the words that name a flow. */
#include "flow.h"

static uint32_t mix(uint32_t hash, uint32_t word)
{
    return ((hash << 5 | hash >> 27) ^ word) * 0x9e3779b1u;
}

uint32_t flow_hash(const uint8_t *data, const struct ip_info *ip)
{
    uint32_t hash = mix(0, ip->proto);
    for (size_t i = 0; i < ip_address_size(ip->family); i += 4)
        hash = mix(mix(hash, get32(ip->src + i)), get32(ip->dst + i));
    if (ip_csum_offset(ip->proto) != 0 && !ip->fragment && ip->upper + 4 <= ip->len)
        hash = mix(hash, get32(data + ip->upper));
    return hash;
}

uint8_t flow_port(const uint8_t *data, const struct ip_info *ip)
{
    return (uint8_t)(flow_hash(data, ip) >> 28);
}
