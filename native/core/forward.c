/* Functions stand in the order in which a packet meets them: tx first, then rx. */
#include "forward.h"

#include "gso.h"
#include "neighbour.h"
#include "vxlan.h"

/* --- tx: from the TUN to the underlay ------------------------------------------------------------------------- */

static enum drop find_next_hop(const struct forward *f, const struct ip_info *ip, uint32_t *peer)
{
    if (f->tables == NULL)
        return DROP_not_ready;
    if (f->format == FORMAT_UDP && ip->family != 4)
        return DROP_family;
    *peer = fib_lookup(f->tables->fib, ip->family, ip->dst);
    if (*peer == FIB_NONE)
        return DROP_no_route;
    if (*peer == FIB_LOCAL)
        return DROP_own_subnet;
    return DROP_NONE;
}

/*
 * The kernel keeps to the TUN's MTU, which leaves room for the encapsulation. Someone may have raised it: nothing
 * larger than the tables say goes out all the same.
 */
static enum drop check_size(const struct forward *f, size_t len)
{
    return len > f->tables->self.mtu ? DROP_too_big : DROP_NONE;
}

static size_t encapsulation_size(const struct forward *f)
{
    return f->format == FORMAT_VXLAN ? VXLAN_OVERHEAD : 0;
}

static void write_encapsulation(const struct forward *f, uint32_t peer, int family, uint8_t *out)
{
    const struct self_row *self = &f->tables->self;
    if (f->format == FORMAT_VXLAN)
        vxlan_write(out, self->vni, f->tables->peers[peer].mac, self->mac[family == 6],
                    family == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
}

/* A whole packet: its encapsulation goes into the headroom in front of it. */
static enum drop send_single(struct forward *f, uint32_t peer, struct packet *p,
                             const struct ip_info *ip)
{
    enum drop reason = check_size(f, ip->len);
    if (reason != DROP_NONE)
        return reason;
    if (p->partial) {
        if (p->csum_start != ip->upper || p->csum_offset + 2u > ip->len - ip->upper)
            return DROP_bad_offload;
        ip_complete_checksum(p, ip);
    }
    ip_decrement_ttl(p->data, ip->family);
    size_t overhead = encapsulation_size(f);
    sendq_reserve(f->queue, 0);
    write_encapsulation(f, peer, ip->family, p->data - overhead);
    sendq_append(f->queue, peer, 0, 1, p->data - overhead, overhead + ip->len, NULL, 0);
    return DROP_NONE;
}

/* A super-packet: each segment's headers are written to scratch memory, its payload stays where it is. */
static enum drop send_segments(struct forward *f, uint32_t peer, struct packet *p,
                               const struct ip_info *ip)
{
    struct gso_segments gso;
    enum drop reason = gso_begin(&gso, p, ip);
    if (reason == DROP_NONE)
        reason = check_size(f, gso.header_len + p->mss);
    if (reason != DROP_NONE)
        return reason;
    ip_decrement_ttl(p->data, ip->family);
    size_t overhead = encapsulation_size(f);
    size_t header_len = overhead + gso.header_len;
    for (uint16_t first = 1;; first = 0) {
        uint8_t *headers = sendq_reserve(f->queue, header_len);
        uint8_t *payload;
        size_t payload_len;
        if (!gso_next(&gso, headers + overhead, &payload, &payload_len))
            return DROP_NONE;
        write_encapsulation(f, peer, ip->family, headers);
        sendq_append(f->queue, peer, 0, first, headers, header_len, payload, payload_len);
    }
}

static void answer_with_icmp(struct forward *f, enum drop reason, const struct packet *p,
                             const struct ip_info *ip)
{
    if (f->tables == NULL || !icmp_answers(reason))
        return;
    size_t len = icmp_error(f->reply, reason, &f->tables->self, p->data, ip);
    if (len == 0)
        return;
    if (!icmp_allowed(&f->icmp, ip->family, ip->src, f->now_ms)) {
        count(f->counters, COUNTER_TX_ICMP_LIMITED, 1);
        return;
    }
    f->reply_len = len;
    count(f->counters, COUNTER_TX_ICMP, 1);
}

void forward_tx(struct forward *f, struct packet *p)
{
    struct ip_info ip;
    uint32_t peer = FIB_NONE;
    f->reply_len = 0;
    count(f->counters, COUNTER_TX_IN, 1);

    enum drop reason = ip_parse(p->data, p->len, &ip);
    bool parsed = reason == DROP_NONE;
    if (reason == DROP_NONE)
        reason = ip_check_addresses(&ip);
    if (reason == DROP_NONE)
        reason = find_next_hop(f, &ip, &peer);
    if (reason == DROP_NONE && ip.ttl <= 1)
        reason = DROP_ttl;
    if (reason == DROP_NONE)
        reason = (p->gso == GSO_NONE ? send_single : send_segments)(f, peer, p, &ip);
    if (reason == DROP_NONE)
        return;
    count_drops(f->counters, DIRECTION_TX, reason, 1);
    if (parsed)
        answer_with_icmp(f, reason, p, &ip);
}

/* --- rx: from the underlay to the TUN ------------------------------------------------------------------------- */

size_t forward_rx_split(const struct forward *f, const uint8_t *data, size_t len, size_t gro_size)
{
    if (gro_size == 0 || gro_size >= len)
        return len;
    size_t overhead = encapsulation_size(f);
    struct ip_info ip;
    if (len > overhead && ip_parse(data + overhead, len - overhead, &ip) == DROP_NONE &&
        ip.len == len - overhead)
        return len;
    return gro_size;
}

/* Queues an answer of ours to the peer that asked, in a frame from this VTEP. */
static void answer_peer(struct forward *f, const struct peer *peer, const uint8_t asker[MAC_SIZE],
                        uint16_t ethertype, const uint8_t *payload, size_t len)
{
    const struct self_row *self = &f->tables->self;
    uint8_t *out = sendq_reserve(f->queue, VXLAN_OVERHEAD + len);
    vxlan_write(out, self->vni, asker, self->mac[ethertype == ETHERTYPE_IPV6], ethertype);
    memcpy(out + VXLAN_OVERHEAD, payload, len);
    sendq_append(f->queue, (uint32_t)(peer - f->tables->peers), 0, 0, out, VXLAN_OVERHEAD + len,
                 NULL, 0);
}

/* Answers neighbour discovery: DROP_NONE when it did, in which case the packet is consumed. */
static enum drop answer_neighbour(struct forward *f, const struct peer *peer, const uint8_t *frame,
                                  const uint8_t *data, size_t data_len, const struct ip_info *ip)
{
    const struct self_row *self = &f->tables->self;
    uint8_t reply[NEIGHBOUR_REPLY_MAX];
    uint8_t asker[MAC_SIZE];
    size_t len = ip == NULL ? arp_answer(self, data, data_len, reply, asker)
                            : ndp_answer(self, data, ip, frame + MAC_SIZE, reply, asker);
    if (len == 0 || !bucket_take(&f->neighbour_replies, 50, 1000, f->now_ms))
        return DROP_neighbour;
    answer_peer(f, peer, asker, ip == NULL ? ETHERTYPE_ARP : ETHERTYPE_IPV6, reply, len);
    return DROP_NONE;
}

static bool same_vtep(const struct peer *other, const struct peer *peer, const uint8_t *mac)
{
    return other->node == peer->node && memcmp(other->mac, mac, MAC_SIZE) == 0;
}

/* The frame must be from the peer's VTEP to this one (RFC 7348 section 4.1, learning left out). */
static bool macs_match(const struct forward *f, const struct peer *peer, const uint8_t *frame)
{
    const struct self_row *self = &f->tables->self;
    bool to_us =
        memcmp(frame, self->mac[0], MAC_SIZE) == 0 || memcmp(frame, self->mac[1], MAC_SIZE) == 0;
    if (!to_us)
        return false;
    const uint8_t *source = frame + MAC_SIZE;
    if (memcmp(source, peer->mac, MAC_SIZE) == 0)
        return true;
    /* A dual-stack host has a second VTEP, which stands in a neighbouring row. */
    const struct peer *first = f->tables->peers, *last = first + f->tables->peer_count - 1;
    return (peer > first && same_vtep(peer - 1, peer, source)) ||
           (peer < last && same_vtep(peer + 1, peer, source));
}

/* The inner source must be the sender's: in a subnet it leases, or one of its underlay addresses. */
static enum drop check_source(const struct forward *f, const struct peer *peer,
                              const struct ip_info *ip)
{
    const struct tables *t = f->tables;
    uint32_t owner = fib_lookup(t->fib, ip->family, ip->src);
    if (owner == FIB_LOCAL)
        return DROP_martian;
    if (owner != FIB_NONE)
        return t->peers[owner].node == peer->node ? DROP_NONE : DROP_spoofed;
    uint8_t address[16];
    ip_map(ip->family, ip->src, address);
    const struct peer *host = tables_peer(t, address);
    return host != NULL && host->node == peer->node ? DROP_NONE : DROP_spoofed;
}

static enum drop check_destination(const struct forward *f, const struct ip_info *ip)
{
    return fib_lookup(f->tables->fib, ip->family, ip->dst) == FIB_LOCAL ? DROP_NONE
                                                                        : DROP_not_local;
}

/*
 * What a sender behind checksum and segmentation offload left undone is passed on to the kernel as such: a packet of
 * a peer on the same machine may arrive with a partial checksum, or whole although larger than our MTU.
 */
static enum drop restore_offload(const struct forward *f, size_t gro_size, struct packet *p)
{
    const struct ip_info *ip = &p->ip;
    uint32_t mtu = f->tables->self.mtu;
    bool super = p->len > mtu && !ip->fragment;
    enum csum_state state = ip_checksum_state(p->data, ip);
    p->verified = state == CSUM_GOOD;
    if (state == CSUM_PARTIAL || (super && state == CSUM_GOOD))
        ip_make_partial(p, p->len);
    if (!super || state == CSUM_NONE)
        return DROP_NONE;
    if (state == CSUM_BAD)
        return DROP_bad_checksum;
    size_t header_len = ip->upper + UDP_HEADER;
    if (ip->proto == PROTO_TCP) {
        size_t tcp = (size_t)(p->data[ip->upper + 12] >> 4) * 4;
        header_len = ip->upper + tcp;
        if (tcp < TCP_HEADER || header_len >= mtu)
            return DROP_bad_header;
        p->gso = GSO_TCP;
        p->mss = (uint16_t)(mtu - header_len);
    } else if (gro_size != 0 && gro_size + header_len <= mtu) {
        p->gso = GSO_UDP;
        p->mss = (uint16_t)gro_size;
    }
    return DROP_NONE;
}

static enum drop admit_ip(struct forward *f, const struct peer *peer, const uint8_t *frame,
                          uint8_t *data, size_t len, size_t gro_size, struct packet *out,
                          bool *consumed)
{
    struct ip_info ip;
    enum drop reason = ip_parse(data, len, &ip);
    if (reason != DROP_NONE)
        return reason;
    if (frame != NULL) {
        if ((ip.family == 4) != (get16(frame + 2 * MAC_SIZE) == ETHERTYPE_IPV4))
            return DROP_bad_header;
        if (ndp_is(data, &ip)) {
            *consumed = true;
            return answer_neighbour(f, peer, frame, data, ip.len, &ip);
        }
        if (!macs_match(f, peer, frame))
            return (frame[0] & 1) ? DROP_bcast_mcast : DROP_bad_mac;
    } else if (ip.family != 4) {
        return DROP_ethertype;
    }
    reason = ip_check_addresses(&ip);
    if (reason == DROP_NONE && ip.ttl == 0)
        reason = DROP_ttl;
    if (reason == DROP_NONE)
        reason = check_source(f, peer, &ip);
    if (reason == DROP_NONE)
        reason = check_destination(f, &ip);
    if (reason != DROP_NONE)
        return reason;
    *out = (struct packet){.data = data, .len = ip.len, .ip = ip};
    return restore_offload(f, gro_size, out);
}

static enum drop admit_frame(struct forward *f, const struct peer *peer, uint8_t *data, size_t len,
                             size_t gro_size, struct packet *out, bool *consumed)
{
    enum drop reason = vxlan_check(data, len, f->tables->self.vni);
    if (reason != DROP_NONE)
        return reason;
    const uint8_t *frame = data + VXLAN_HEADER;
    switch (get16(frame + 2 * MAC_SIZE)) {
    case ETHERTYPE_IPV4:
    case ETHERTYPE_IPV6:
        return admit_ip(f, peer, frame, data + VXLAN_OVERHEAD, len - VXLAN_OVERHEAD, gro_size, out,
                        consumed);
    case ETHERTYPE_ARP:
        *consumed = true;
        return answer_neighbour(f, peer, frame, data + VXLAN_OVERHEAD, len - VXLAN_OVERHEAD, NULL);
    default:
        return DROP_ethertype;
    }
}

bool forward_rx(struct forward *f, const struct peer *peer, uint8_t *data, size_t len,
                size_t gro_size, struct packet *out)
{
    bool consumed = false;
    enum drop reason;
    count(f->counters, COUNTER_RX_IN, 1);
    count(f->counters, COUNTER_RX_BYTES, len);
    if (f->tables == NULL)
        reason = DROP_not_ready;
    else if (peer == NULL)
        reason = DROP_unknown_peer;
    else if (f->format == FORMAT_VXLAN)
        reason = admit_frame(f, peer, data, len, gro_size, out, &consumed);
    else
        reason = admit_ip(f, peer, NULL, data, len, gro_size, out, &consumed);

    if (reason != DROP_NONE)
        count_drops(f->counters, DIRECTION_RX, reason, 1);
    else if (consumed)
        count(f->counters, COUNTER_RX_CONSUMED, 1);
    if (peer != NULL) {
        struct peer_stats *stats = &peer->stats[f->worker];
        counter_bump(&stats->rx_packets, 1);
        counter_bump(&stats->rx_bytes, len);
        atomic_store_explicit(&stats->last_received_ms, f->now_ms, memory_order_relaxed);
    }
    return reason == DROP_NONE && !consumed;
}
