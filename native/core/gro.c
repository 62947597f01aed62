/* Which flow a packet belongs to, whether it continues that, and the header of the result. */
#include "gro.h"

enum {
    TCP_SEQ = 4,
    TCP_ACK = 8,
    TCP_FLAGS = 13,
    TCP_WINDOW = 14,
    TCP_URGENT = 18,
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_URG = 0x20,
    TCP_CWR = 0x80,
    PACKET_MAX = 65535,
    HEADERS_MAX = IPV6_HEADER + 60,
};

/* Addresses, protocol and ports. */
static bool same_flow(const struct packet *a, const struct packet *b)
{
    size_t address = ip_address_size(a->ip.family);
    return a->ip.family == b->ip.family && a->ip.proto == b->ip.proto &&
           memcmp(a->data + a->ip.upper, b->data + b->ip.upper, 4) == 0 &&
           memcmp(a->ip.src, b->ip.src, address) == 0 && memcmp(a->ip.dst, b->ip.dst, address) == 0;
}

/* Everything of the IP header that the packets of one super-packet share; n is the packet's place
 * in it. */
static bool same_ip(const struct packet *head, const struct packet *p, unsigned n)
{
    const uint8_t *a = head->data, *b = p->data;
    if (head->ip.ttl != p->ip.ttl)
        return false;
    if (head->ip.family == 6)
        return memcmp(a, b, 4) == 0; /* version, traffic class, flow label */
    bool df = a[6] & 0x40;
    return a[1] == b[1] && a[6] == b[6] && (df || get16(b + 4) == (uint16_t)(get16(a + 4) + n));
}

/* Length of the headers of a packet that may be part of a super-packet; 0 when it may not. */
static size_t mergeable(const struct gro *gro, const struct packet *p)
{
    const struct ip_info *ip = &p->ip;
    size_t plain = ip->family == 4 ? IPV4_HEADER : IPV6_HEADER;
    const uint8_t *upper = p->data + ip->upper;
    if (p->gso != GSO_NONE || !p->verified || ip->fragment || ip->upper != plain)
        return 0;
    if (ip->proto == PROTO_UDP)
        return gro->udp && get16(upper + 4) == p->len - plain ? plain + UDP_HEADER : 0;
    size_t tcp = (size_t)(upper[12] >> 4) * 4;
    return tcp >= TCP_HEADER && !(upper[TCP_FLAGS] & (TCP_SYN | TCP_RST | TCP_URG | TCP_CWR))
               ? plain + tcp
               : 0;
}

/* Whether a mergeable packet is the next one of a flow. */
static bool continues(const struct gro_flow *flow, const struct packet *p, size_t header_len)
{
    size_t payload = p->len - header_len;
    const uint8_t *a = flow->head.data + flow->head.ip.upper, *b = p->data + p->ip.upper;
    if (header_len != flow->header_len || payload > flow->size || flow->segments == GRO_SEGMENTS ||
        flow->len + payload > PACKET_MAX || !same_ip(&flow->head, p, flow->segments))
        return false;
    if (p->ip.proto == PROTO_UDP)
        return true;
    /* Acknowledgement, offset and reserved bits; window; urgent pointer and options. The kernel compares less. */
    size_t tail = header_len - p->ip.upper - TCP_URGENT;
    return get32(b + TCP_SEQ) == flow->next_seq && memcmp(a + TCP_ACK, b + TCP_ACK, 5) == 0 &&
           !((a[TCP_FLAGS] ^ b[TCP_FLAGS]) & ~(TCP_FIN | TCP_PSH)) &&
           memcmp(a + TCP_WINDOW, b + TCP_WINDOW, 2) == 0 &&
           memcmp(a + TCP_URGENT, b + TCP_URGENT, tail) == 0;
}

/* The headers of the whole, made from the first packet's. */
static struct packet super_packet(const struct gro_flow *flow, uint8_t headers[HEADERS_MAX])
{
    struct packet p = flow->head;
    memcpy(headers, p.data, flow->header_len);
    p.data = headers;
    p.len = flow->header_len;
    p.mss = (uint16_t)flow->size;
    p.gso = p.ip.proto == PROTO_UDP ? GSO_UDP : GSO_TCP;
    ip_set_length(headers, &p.ip, flow->len);
    if (p.gso == GSO_UDP)
        put16(headers + p.ip.upper + 4, (unsigned)(flow->len - p.ip.upper));
    else
        headers[p.ip.upper + TCP_FLAGS] |= flow->flags;
    ip_make_partial(&p, flow->len);
    return p;
}

/* A lone packet is written as it came. */
static void write_flow(struct gro *gro, const struct gro_flow *flow)
{
    uint8_t headers[HEADERS_MAX];
    if (flow->segments == 1) {
        gro->write(gro->owner, &flow->head, NULL, 0);
    } else {
        struct packet p = super_packet(flow, headers);
        gro->write(gro->owner, &p, flow->payloads, flow->segments);
    }
}

/* Writes a flow and takes it out. */
static void flush_flow(struct gro *gro, struct gro_flow *flow)
{
    write_flow(gro, flow);
    size_t behind = (size_t)(gro->flows + --gro->count - flow);
    memmove(flow, flow + 1, behind * sizeof *flow);
}

static struct gro_flow *find_flow(struct gro *gro, const struct packet *p)
{
    for (unsigned i = 0; i < gro->count; i++)
        if (same_flow(&gro->flows[i].head, p))
            return &gro->flows[i];
    return NULL;
}

/* Whether nothing may follow a packet: it pushes, ends the stream, or is shorter than those before
 * it. */
static bool closes(const struct gro_flow *flow, const struct packet *p, size_t payload)
{
    bool pushes =
        p->ip.proto == PROTO_TCP && (p->data[p->ip.upper + TCP_FLAGS] & (TCP_FIN | TCP_PSH)) != 0;
    return pushes || payload < flow->size;
}

static void start_flow(struct gro *gro, const struct packet *p, size_t header_len)
{
    if (gro->count == GRO_FLOWS)
        flush_flow(gro, &gro->flows[0]);
    struct gro_flow *flow = &gro->flows[gro->count++];
    flow->head = *p;
    flow->segments = 1;
    flow->len = p->len;
    flow->header_len = header_len;
    flow->size = p->len - header_len;
    flow->payloads[0] = (struct iovec){p->data + header_len, flow->size};
    flow->flags = 0;
    if (p->ip.proto == PROTO_TCP)
        flow->next_seq = get32(p->data + p->ip.upper + TCP_SEQ) + (uint32_t)flow->size;
    if (closes(flow, p, flow->size))
        flush_flow(gro, flow);
}

static void merge(struct gro *gro, struct gro_flow *flow, const struct packet *p)
{
    size_t payload = p->len - flow->header_len;
    flow->payloads[flow->segments++] = (struct iovec){p->data + flow->header_len, payload};
    flow->len += payload;
    flow->next_seq += (uint32_t)payload;
    if (p->ip.proto == PROTO_TCP)
        flow->flags |= p->data[p->ip.upper + TCP_FLAGS];
    if (closes(flow, p, payload))
        flush_flow(gro, flow);
}

void gro_receive(struct gro *gro, const struct packet *p)
{
    bool ported = ip_csum_offset(p->ip.proto) != 0 && !p->ip.fragment &&
                  p->ip.upper + (p->ip.proto == PROTO_TCP ? TCP_HEADER : UDP_HEADER) <= p->len;
    if (!ported) {
        gro->write(gro->owner, p, NULL, 0);
        return;
    }
    size_t header_len = mergeable(gro, p);
    bool waits = header_len != 0 && header_len < p->len;
    struct gro_flow *flow = find_flow(gro, p);
    if (flow != NULL && waits && continues(flow, p, header_len)) {
        merge(gro, flow, p);
        return;
    }
    if (flow != NULL)
        flush_flow(gro, flow);
    if (waits)
        start_flow(gro, p, header_len);
    else
        gro->write(gro->owner, p, NULL, 0);
}

void gro_flush(struct gro *gro)
{
    for (unsigned i = 0; i < gro->count; i++)
        write_flow(gro, &gro->flows[i]);
    gro->count = 0;
}
