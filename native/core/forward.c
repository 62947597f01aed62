/* Functions stand in the order in which a packet meets them: tx first, then rx. */
#include "forward.h"

#include "flow.h"
#include "fragment.h"
#include "gso.h"
#include "neighbour.h"
#include "vxlan.h"

/* --- tx: from the TUN to the underlay ------------------------------------------------------------------------- */

static bool is_row(uint32_t result)
{
    return result < FIB_ENDPOINT;
}

/* What a peer sent is never sent on: its pods are its own to speak for. */
static bool is_peers(const struct tables *t, int family, const uint8_t *address)
{
    uint32_t owner = fib_lookup(t->fib, family, address);
    if (owner == FIB_LOCAL || owner == FIB_BROADCAST)
        return false;
    return is_row(owner) || tables_peer_at(t, family, address) != NULL;
}

static bool is_endpoint(const struct tables *t, int family, const uint8_t *address)
{
    return tables_is_source(t, family, address) || tables_peer_at(t, family, address) != NULL;
}

/* Why an address that is no peer's row is no destination. */
static enum drop no_next_hop(const struct tables *t, const struct ip_info *ip, uint32_t result)
{
    if (result == FIB_LOCAL)
        return DROP_own_subnet;
    if (result == FIB_BROADCAST)
        return DROP_bcast_mcast;
    return is_endpoint(t, ip->family, ip->dst) ? DROP_nested : DROP_no_route;
}

static enum drop find_next_hop(const struct forward *f, const struct ip_info *ip, uint32_t *peer)
{
    const struct tables *t = f->tables;
    if (t == NULL)
        return DROP_not_ready;
    if (f->format == FORMAT_UDP && ip->family != 4)
        return DROP_family;
    if (is_peers(t, ip->family, ip->src))
        return DROP_spoofed;
    *peer = fib_lookup(t->fib, ip->family, ip->dst);
    return is_row(*peer) ? DROP_NONE : no_next_hop(t, ip, *peer);
}

static size_t encapsulation_size(const struct forward *f)
{
    return f->format == FORMAT_VXLAN ? VXLAN_OVERHEAD : 0;
}

/*
 * The largest inner packet that reaches a peer. The kernel keeps to the TUN's MTU, which the tables repeat in case
 * someone raised it; the path may carry less.
 */
static uint32_t mtu_to(const struct forward *f, const struct peer *peer)
{
    uint32_t mtu = f->tables->self.mtu, path = path_mtu(&peer->state->path, f->now_ms);
    uint32_t outer = (uint32_t)encapsulation_size(f) + UDP_HEADER +
                     (ip_is_mapped(peer->address) ? IPV4_HEADER : IPV6_HEADER);
    if (path == 0 || path >= mtu + outer)
        return mtu;
    return path > outer ? path - outer : 0;
}

static void write_encapsulation(const struct forward *f, const struct peer *peer, int family,
                                uint8_t *out)
{
    const struct self_row *self = &f->tables->self;
    if (f->format == FORMAT_VXLAN)
        vxlan_write(out, self->vni, peer->mac, self->mac[family == 6],
                    family == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
}

/* A packet that has passed the checks, and where it goes. */
struct outgoing {
    const struct ip_info *ip;
    const struct peer *peer;
    uint32_t mtu; /* to the peer */
    struct way way;
};

static struct outgoing outgoing_to(const struct forward *f, uint32_t row, const uint8_t *data,
                                   const struct ip_info *ip)
{
    const struct peer *peer = &f->tables->peers[row];
    return (struct outgoing){
        .ip = ip,
        .peer = peer,
        .mtu = mtu_to(f, peer),
        .way = {.peer = row,
                /* flannel's udp nodes speak from one port to one port. */
                .port = f->format == FORMAT_VXLAN ? flow_port(data, ip) : 0,
                /* The inner packet's, RFC 6040 4.1 and RFC 2983. */
                .tos = peer->flags & PEER_NO_ECN ? ip->tos & ~3u & 0xff : ip->tos},
    };
}

/* Appends a datagram whose inner headers stand in scratch memory, behind room for the encapsulation. */
static void append(struct forward *f, const struct outgoing *o, uint16_t packets, uint8_t *scratch,
                   size_t header_len, uint8_t *payload, size_t payload_len)
{
    write_encapsulation(f, o->peer, o->ip->family, scratch);
    sendq_append(f->queue, o->way, packets, scratch, encapsulation_size(f) + header_len, payload,
                 payload_len);
}

/* Cuts a packet that is in two pieces (core/fragment.h). packets: 1 when it is the first of what the TUN gave us. */
static void send_fragments(struct forward *f, const struct outgoing *o, uint16_t packets,
                           const uint8_t *headers, size_t header_len, uint8_t *payload,
                           size_t payload_len)
{
    struct fragments cut;
    fragment_begin(&cut, o->mtu, headers, o->ip->upper, header_len, payload, payload_len);
    size_t overhead = encapsulation_size(f);
    for (;; packets = 0) {
        uint8_t *scratch = sendq_reserve(f->queue, overhead + FRAGMENT_HEADER_MAX);
        size_t len = fragment_next(&cut, scratch + overhead, &payload, &payload_len);
        if (len == 0)
            return;
        append(f, o, packets, scratch, len, payload, payload_len);
    }
}

/* A whole packet: its encapsulation goes into the headroom in front of it. */
static enum drop send_single(struct forward *f, const struct outgoing *o, struct packet *p)
{
    const struct ip_info *ip = o->ip;
    if (p->partial && (p->csum_start != ip->upper || p->csum_offset + 2u > ip->len - ip->upper))
        return DROP_bad_offload;
    bool fits = ip->len <= o->mtu;
    if (!fits && !fragment_allowed(p->data, ip, ip->upper, o->mtu))
        return DROP_too_big;
    if (p->partial)
        ip_complete_checksum(p, ip);
    ip_decrement_ttl(p->data, ip->family);
    if (!fits) {
        send_fragments(f, o, 1, p->data, ip->upper, p->data + ip->upper, ip->len - ip->upper);
        return DROP_NONE;
    }
    size_t overhead = encapsulation_size(f);
    sendq_reserve(f->queue, 0);
    write_encapsulation(f, o->peer, ip->family, p->data - overhead);
    sendq_append(f->queue, o->way, 1, p->data - overhead, overhead + ip->len, NULL, 0);
    return DROP_NONE;
}

/* A super-packet: each segment's headers are written to scratch memory, its payload stays where it is. */
static enum drop send_segments(struct forward *f, const struct outgoing *o, struct packet *p)
{
    const struct ip_info *ip = o->ip;
    struct gso_segments gso;
    enum drop reason = gso_begin(&gso, p, ip);
    if (reason != DROP_NONE)
        return reason;
    bool fits = gso.header_len + p->mss <= o->mtu;
    if (!fits && !fragment_allowed(p->data, ip, gso.header_len, o->mtu))
        return DROP_too_big;
    ip_decrement_ttl(p->data, ip->family);
    size_t overhead = encapsulation_size(f);
    for (uint16_t first = 1;; first = 0) {
        uint8_t uncut[GSO_HEADER_MAX];
        uint8_t *scratch = sendq_reserve(f->queue, overhead + gso.header_len);
        uint8_t *payload;
        size_t payload_len;
        if (!gso_next(&gso, fits ? scratch + overhead : uncut, &payload, &payload_len))
            return DROP_NONE;
        if (fits)
            append(f, o, first, scratch, gso.header_len, payload, payload_len);
        else
            send_fragments(f, o, first, uncut, gso.header_len, payload, payload_len);
    }
}

static void answer_with_icmp(struct forward *f, enum drop reason, uint32_t mtu, const uint8_t *data,
                             const struct ip_info *ip)
{
    if (f->tables == NULL || !icmp_answers(reason))
        return;
    /* RFC 1812 4.3.2.7: never to a source that is no single host. Others of the kind are martians. */
    if (fib_lookup(f->tables->fib, ip->family, ip->src) == FIB_BROADCAST)
        return;
    size_t len = icmp_error(f->reply, reason, &f->tables->self, mtu, data, ip);
    if (len == 0)
        return;
    if (!icmp_allowed(&f->icmp, reason, ip->family, ip->src, f->now_ms)) {
        count(f->counters, COUNTER_TX_ICMP_LIMITED, 1);
        return;
    }
    f->reply_len = len;
    count(f->counters, COUNTER_TX_ICMP, 1);
}

enum drop forward_tx(struct forward *f, struct packet *p)
{
    struct ip_info ip;
    struct outgoing o = {0};
    uint32_t row = FIB_NONE;
    f->reply_len = 0;
    count(f->counters, COUNTER_TX_IN, 1);

    enum drop reason = ip_parse(p->data, p->len, &ip);
    bool parsed = reason == DROP_NONE;
    if (reason == DROP_NONE)
        reason = ip_check_addresses(&ip);
    if (reason == DROP_NONE)
        reason = find_next_hop(f, &ip, &row);
    if (reason == DROP_NONE && ip.ttl <= 1)
        reason = DROP_ttl;
    if (reason == DROP_NONE) {
        o = outgoing_to(f, row, p->data, &ip);
        reason = (p->gso == GSO_NONE ? send_single : send_segments)(f, &o, p);
    }
    if (reason == DROP_NONE)
        return DROP_NONE;
    count_drops(f->counters, DIRECTION_TX, reason, 1);
    if (parsed)
        answer_with_icmp(f, reason, o.mtu, p->data, &ip);
    return reason;
}

void forward_too_big(struct forward *f, uint32_t peer, const struct iovec *pieces, size_t n)
{
    uint8_t start[VXLAN_OVERHEAD + ICMP_ERROR_MAX];
    size_t overhead = encapsulation_size(f), at_hand = 0;
    for (size_t i = 0; i < n && at_hand < sizeof start; i++) {
        size_t left = sizeof start - at_hand;
        size_t len = pieces[i].iov_len < left ? pieces[i].iov_len : left;
        memcpy(start + at_hand, pieces[i].iov_base, len);
        at_hand += len;
    }
    f->reply_len = 0;
    /* All headers are in the first piece, so nothing is looked at behind what is there. */
    const uint8_t *inner = (const uint8_t *)pieces[0].iov_base + overhead;
    uint32_t mtu = mtu_to(f, &f->tables->peers[peer]);
    struct ip_info ip;
    if (ip_parse(inner, UINT16_MAX + IPV6_HEADER, &ip) != DROP_NONE || ip.len <= mtu ||
        fragment_allowed(inner, &ip, ip.upper, mtu))
        return;
    if (ip.len > at_hand - overhead)
        ip.len = at_hand - overhead;
    answer_with_icmp(f, DROP_too_big, mtu, start + overhead, &ip);
}

/* --- rx: from the underlay to the TUN ------------------------------------------------------------------------- */

size_t forward_rx_split(const struct forward *f, const struct datagram *d)
{
    if (d->gro_size == 0 || d->gro_size >= d->len)
        return d->len;
    size_t overhead = encapsulation_size(f);
    struct ip_info ip;
    if (d->len > overhead && ip_parse(d->data + overhead, d->len - overhead, &ip) == DROP_NONE &&
        ip.len == d->len - overhead)
        return d->len;
    return d->gro_size;
}

/* Queues an answer of ours to the peer that asked, in a frame from this VTEP. */
static void answer_peer(struct forward *f, const struct peer *peer, const uint8_t asker[MAC_SIZE],
                        uint16_t ethertype, const uint8_t *payload, size_t len)
{
    const struct self_row *self = &f->tables->self;
    uint8_t *out = sendq_reserve(f->queue, VXLAN_OVERHEAD + len);
    vxlan_write(out, self->vni, asker, self->mac[ethertype == ETHERTYPE_IPV6], ethertype);
    memcpy(out + VXLAN_OVERHEAD, payload, len);
    sendq_append(f->queue, (struct way){.peer = (uint32_t)(peer - f->tables->peers)}, 0, out,
                 VXLAN_OVERHEAD + len, NULL, 0);
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

/* Whether a MAC is one of the peer's host: a dual-stack host has two VTEPs, in rows next to each other. */
static bool is_hosts_mac(const struct tables *t, const struct peer *peer, const uint8_t *mac)
{
    const struct peer *first = peer, *end = t->peers + t->peer_count;
    while (first > t->peers && first[-1].node == peer->node)
        first--;
    for (const struct peer *p = first; p < end && p->node == peer->node; p++)
        if (memcmp(p->mac, mac, MAC_SIZE) == 0)
            return true;
    return false;
}

static bool is_unicast_mac(const uint8_t *mac)
{
    static const uint8_t zeros[MAC_SIZE];
    return (mac[0] & 1) == 0 && memcmp(mac, zeros, MAC_SIZE) != 0;
}

/* The frame must be from the peer's VTEP to this one (RFC 7348 section 4.1, learning left out). */
static enum drop check_macs(const struct tables *t, const struct peer *peer, const uint8_t *frame)
{
    const uint8_t *source = frame + MAC_SIZE;
    if (memcmp(frame, t->self.mac[0], MAC_SIZE) != 0 &&
        memcmp(frame, t->self.mac[1], MAC_SIZE) != 0)
        return (frame[0] & 1) ? DROP_bcast_mcast : DROP_bad_mac;
    bool bridged = (t->self.admit & ADMIT_BRIDGED) != 0 && is_unicast_mac(source);
    return bridged || is_hosts_mac(t, peer, source) ? DROP_NONE : DROP_bad_mac;
}

/* The inner source must be the sender's: in a subnet it leases, or one of its underlay addresses. */
static enum drop check_source(const struct tables *t, const struct peer *peer,
                              const struct ip_info *ip)
{
    uint32_t owner = fib_lookup(t->fib, ip->family, ip->src);
    if (is_row(owner))
        return t->peers[owner].node == peer->node ? DROP_NONE : DROP_spoofed;
    if (owner == FIB_LOCAL || owner == FIB_BROADCAST || tables_is_source(t, ip->family, ip->src))
        return DROP_martian;
    const struct peer *host = tables_peer_at(t, ip->family, ip->src);
    if (host != NULL)
        return host->node == peer->node ? DROP_NONE : DROP_spoofed;
    return t->self.admit & ADMIT_EXTERNAL ? DROP_NONE : DROP_spoofed;
}

/* Whether a packet would come back to our own socket, to be decapsulated once more. */
static bool is_for_tunnel(const struct tables *t, const uint8_t *data, const struct ip_info *ip)
{
    return self_has_address(&t->self, ip->family, ip->dst) && ip->proto == PROTO_UDP &&
           !ip->later_fragment && ip->upper + 4 <= ip->len &&
           get16(data + ip->upper + 2) == t->self.port;
}

static enum drop check_destination(const struct tables *t, const uint8_t *data,
                                   const struct ip_info *ip)
{
    uint32_t owner = fib_lookup(t->fib, ip->family, ip->dst);
    if (owner == FIB_LOCAL)
        return is_for_tunnel(t, data, ip) ? DROP_nested : DROP_NONE;
    if (owner == FIB_BROADCAST)
        return DROP_bcast_mcast;
    return is_endpoint(t, ip->family, ip->dst) ? DROP_nested : DROP_not_local;
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
    p->verified = state == CSUM_GOOD || state == CSUM_PARTIAL;
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

/* An IP packet from a peer; frame: its inner Ethernet header, null in udp format. */
static enum drop admit_ip(struct forward *f, const struct peer *peer, const uint8_t *frame,
                          const struct datagram *d, struct packet *out)
{
    const struct tables *t = f->tables;
    size_t overhead = encapsulation_size(f);
    uint8_t *data = d->data + overhead;
    struct ip_info ip;
    enum drop reason = ip_parse(data, d->len - overhead, &ip);
    if (reason != DROP_NONE)
        return reason;
    if (frame != NULL) {
        if ((ip.family == 4) != (get16(frame + 2 * MAC_SIZE) == ETHERTYPE_IPV4))
            return DROP_bad_header;
        if (ndp_is(data, &ip))
            return answer_neighbour(f, peer, frame, data, ip.len, &ip);
        reason = check_macs(t, peer, frame);
    } else if (ip.family != 4) {
        reason = DROP_ethertype;
    }
    if (reason == DROP_NONE)
        reason = ip_check_addresses(&ip);
    if (reason == DROP_NONE && ip.ttl == 0)
        reason = DROP_ttl;
    if (reason == DROP_NONE)
        reason = check_source(t, peer, &ip);
    if (reason == DROP_NONE)
        reason = check_destination(t, data, &ip);
    if (reason == DROP_NONE && !ip_merge_ecn(data, &ip, d->tos))
        reason = DROP_ecn;
    if (reason != DROP_NONE)
        return reason;
    struct packet p = {.data = data, .len = ip.len, .ip = ip};
    reason = restore_offload(f, d->gro_size, &p);
    if (reason == DROP_NONE)
        *out = p;
    return reason;
}

static enum drop admit_frame(struct forward *f, const struct peer *peer, const struct datagram *d,
                             struct packet *out)
{
    const struct self_row *self = &f->tables->self;
    enum drop reason = vxlan_check(d->data, d->len, self->vni, self->admit);
    if (reason != DROP_NONE)
        return reason;
    const uint8_t *frame = d->data + VXLAN_HEADER;
    switch (get16(frame + 2 * MAC_SIZE)) {
    case ETHERTYPE_IPV4:
    case ETHERTYPE_IPV6:
        return admit_ip(f, peer, frame, d, out);
    case ETHERTYPE_ARP:
        return answer_neighbour(f, peer, frame, d->data + VXLAN_OVERHEAD, d->len - VXLAN_OVERHEAD,
                                NULL);
    default:
        return DROP_ethertype;
    }
}

enum drop forward_rx(struct forward *f, const struct peer *peer, const struct datagram *d,
                     struct packet *out)
{
    enum drop reason;
    *out = (struct packet){0};
    count(f->counters, COUNTER_RX_IN, 1);
    count(f->counters, COUNTER_RX_BYTES, d->len);
    if (f->tables == NULL)
        reason = DROP_not_ready;
    else if (peer == NULL)
        reason = DROP_unknown_peer;
    else if (f->format == FORMAT_VXLAN)
        reason = admit_frame(f, peer, d, out);
    else
        reason = admit_ip(f, peer, NULL, d, out);

    if (reason != DROP_NONE)
        count_drops(f->counters, DIRECTION_RX, reason, 1);
    else if (out->data == NULL)
        count(f->counters, COUNTER_RX_CONSUMED, 1);
    if (peer != NULL) {
        struct peer_stats *stats = &peer->state->stats[f->worker];
        counter_bump(&stats->rx_packets, 1);
        counter_bump(&stats->rx_bytes, d->len);
        atomic_store_explicit(&stats->last_received_ms, f->now_ms, memory_order_relaxed);
    }
    return reason;
}
