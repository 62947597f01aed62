/* Cutting TCP and UDP super-packets. */
#include "gso.h"

#include "checksum.h"

enum {
    TCP_FLAGS = 13,
    TCP_FIN = 0x01,
    TCP_PSH = 0x08,
    TCP_CWR = 0x80,
};

/* Length of the upper-layer header as the packet itself tells it: the kernel's hdr_len is only a hint. 0 if bad. */
static size_t upper_header_len(const struct packet *p, const struct ip_info *ip)
{
    if (p->gso == GSO_UDP)
        return ip->proto == PROTO_UDP ? UDP_HEADER : 0;
    if (ip->proto != PROTO_TCP || ip->upper + TCP_HEADER > ip->len)
        return 0;
    size_t len = (size_t)(p->data[ip->upper + 12] >> 4) * 4;
    return len >= TCP_HEADER ? len : 0;
}

enum drop gso_begin(struct gso_segments *g, const struct packet *p, const struct ip_info *ip)
{
    size_t upper = upper_header_len(p, ip);
    size_t header_len = ip->upper + upper;
    if (upper == 0 || header_len > GSO_HEADER_MAX || header_len >= ip->len || p->mss == 0 ||
        ip->fragment || !p->partial || p->csum_start != ip->upper ||
        p->csum_offset != ip_csum_offset(ip->proto))
        return DROP_bad_offload;
    *g = (struct gso_segments){
        .packet = p,
        .ip = *ip,
        .header_len = header_len,
        .offset = header_len,
        /* The partial checksum is the sum of addresses, protocol and length; without the latter. */
        .base_sum = (uint64_t)get16(p->data + ip->upper + p->csum_offset) +
                    (uint16_t) ~(ip->len - ip->upper),
    };
    return DROP_NONE;
}

static void write_tcp_header(const struct gso_segments *g, uint8_t *tcp, bool last)
{
    put32(tcp + 4, get32(tcp + 4) + g->index * g->packet->mss);
    if (!last)
        tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (g->index > 0)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

bool gso_next(struct gso_segments *g, uint8_t *headers, uint8_t **payload, size_t *payload_len)
{
    const struct packet *p = g->packet;
    size_t left = g->ip.len - g->offset;
    if (left == 0)
        return false;
    size_t size = left < p->mss ? left : p->mss;
    size_t upper_len = g->header_len - g->ip.upper + size;
    uint8_t *upper = headers + g->ip.upper;

    memcpy(headers, p->data, g->header_len);
    if (g->ip.family == 4)
        put16(headers + 4, get16(headers + 4) + g->index);
    ip_set_length(headers, &g->ip, g->header_len + size);
    if (p->gso == GSO_TCP)
        write_tcp_header(g, upper, size == left);
    else
        put16(upper + 4, (unsigned)upper_len);

    uint8_t *field = upper + p->csum_offset;
    put16(field, 0);
    uint64_t sum = g->base_sum + upper_len + csum_bytes(upper, g->header_len - g->ip.upper) +
                   csum_bytes(p->data + g->offset, size);
    uint16_t csum = csum_finish(sum);
    put16(field, csum == 0 && p->gso == GSO_UDP ? 0xffff : csum);

    *payload = p->data + g->offset;
    *payload_len = size;
    g->offset += size;
    g->index++;
    return true;
}
