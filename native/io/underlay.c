/* Opening, sending, receiving, and the error queue; in that order. */
#include "underlay.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../core/ip.h"
#include "adopt.h"
#include "uapi_compat.h"

/* The default receive buffer keeps 92 packets of 1400 bytes; this one 20 000, of any size: what comes in 250 ms, a
 * daemon's restart, at 80 000 a second. */
enum { SOCKET_BUFFER = 64 * 1024 * 1024 };

/* The first of the dynamic ports (RFC 6335 section 6), which RFC 7348 section 5 recommends to send from. */
enum { SENDER_PORTS = 49152 };

/* --- opening -------------------------------------------------------------------------------------------------- */

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

/* Best effort: the forced variant needs CAP_NET_ADMIN, the other is capped by net.core.[rw]mem_max. */
static void enlarge(int fd, int forced, int ordinary)
{
    if (set(fd, SOL_SOCKET, forced, SOCKET_BUFFER) < 0)
        set(fd, SOL_SOCKET, ordinary, SOCKET_BUFFER);
}

static int open_socket(int family)
{
    return socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int set_options(int fd, int family)
{
    enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    if (family == AF_INET)
        return set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO) |
               set(fd, IPPROTO_IP, IP_RECVTOS, 1) | set(fd, IPPROTO_IP, IP_RECVERR, 1);
    /* Zero UDP checksums over IPv6 are a VXLAN sender's right (RFC 6935, RFC 7348 section 5). */
    return set(fd, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1) |
           set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO) |
           set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) | set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
}

static int bind_wildcard(int fd, int family, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    return family == AF_INET ? bind(fd, (const struct sockaddr *)&in, sizeof in)
                             : bind(fd, (const struct sockaddr *)&in6, sizeof in6);
}

static int open_receiver(struct underlay *u, int adopted, bool gro, const char **call)
{
    u->fd = adopt_socket(adopted, u->family, u->port);
    u->adopted = u->fd >= 0;
    if (!u->adopted)
        u->fd = open_socket(u->family);
    *call = "socket";
    if (u->fd < 0)
        return -1;
    *call = "setsockopt of the underlay socket";
    if (set(u->fd, SOL_SOCKET, SO_RXQ_OVFL, 1) < 0 || set_options(u->fd, u->family) < 0)
        return -1;
    enlarge(u->fd, SO_RCVBUFFORCE, SO_RCVBUF);
    set(u->fd, IPPROTO_UDP, UDP_GRO, gro);
    *call = "bind";
    return u->adopted ? 0 : bind_wildcard(u->fd, u->family, u->port);
}

/* Opens a sender on the first free port from *port on. What comes to it is refused before it is queued. */
static int open_sender(struct underlay *u, uint16_t *port, const char **call)
{
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog filter = {.len = 1, .filter = &nothing};
    *call = "socket to send from";
    int fd = open_socket(u->family);
    if (fd < 0)
        return -1;
    u->senders[u->sender_count++] = fd;
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0 ||
        set_options(fd, u->family) < 0)
        return -1;
    for (; *port != 0; (*port)++) { /* up to 65535 */
        if (bind_wildcard(fd, u->family, *port) == 0) {
            u->sender_ports[u->sender_count - 1] = (*port)++;
            return 0;
        }
        if (errno != EADDRINUSE)
            return -1;
    }
    return -1;
}

int underlay_open(struct underlay *u, int adopted, int family, uint16_t port, bool senders,
                  bool gso, bool gro, struct failure *failure)
{
    const char *call;
    uint16_t sender_port = SENDER_PORTS;
    *u = (struct underlay){.fd = -1, .family = family, .port = port};
    if (open_receiver(u, adopted, gro, &call) < 0)
        goto fail;
    while (senders && u->sender_count < FLOW_PORTS)
        if (open_sender(u, &sender_port, &call) < 0)
            goto fail;
    int size;
    socklen_t len = sizeof size;
    u->gso = gso && getsockopt(u->fd, IPPROTO_UDP, UDP_SEGMENT, &size, &len) == 0;
    return 0;

fail:
    *failure = (struct failure){.error = errno, .call = call};
    underlay_close(u);
    return -1;
}

void underlay_close(struct underlay *u)
{
    if (u->fd >= 0)
        close(u->fd);
    u->fd = -1;
    while (u->sender_count > 0)
        close(u->senders[--u->sender_count]);
}

/* --- sending -------------------------------------------------------------------------------------------------- */

int underlay_family(const struct peer *peer)
{
    return ip_is_mapped(peer->address) ? AF_INET : AF_INET6;
}

/* Everything a message points to. */
struct envelope {
    union {
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } to;
    uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) +
                    CMSG_SPACE(sizeof(uint16_t))] __attribute__((aligned(8)));
};

static void add_control(struct msghdr *m, int level, int type, const void *data, size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)m->msg_control + m->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), data, len);
    m->msg_controllen += CMSG_SPACE(len);
}

static void address_message(struct msghdr *m, struct envelope *e, const struct underlay *u,
                            const struct self_row *self, const struct peer *peer, int tos)
{
    m->msg_name = &e->to;
    m->msg_control = e->control;
    m->msg_controllen = 0;
    if (u->family == AF_INET) {
        struct in_pktinfo source = {0};
        e->to.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(u->port)};
        memcpy(&e->to.in.sin_addr, peer->address + 12, 4);
        m->msg_namelen = sizeof e->to.in;
        memcpy(&source.ipi_spec_dst, self->source4, 4);
        add_control(m, IPPROTO_IP, IP_PKTINFO, &source, sizeof source);
        if (tos != 0)
            add_control(m, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    } else {
        struct in6_pktinfo source = {0};
        e->to.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(u->port)};
        memcpy(&e->to.in6.sin6_addr, peer->address, 16);
        m->msg_namelen = sizeof e->to.in6;
        memcpy(&source.ipi6_addr, self->source6, 16);
        add_control(m, IPPROTO_IPV6, IPV6_PKTINFO, &source, sizeof source);
        if (tos != 0)
            add_control(m, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos);
    }
}

int underlay_sender(const struct underlay *u, const struct run *run)
{
    return u->sender_count == 0 ? u->fd : u->senders[run->way.port % u->sender_count];
}

uint16_t underlay_source_port(const struct underlay *u, const struct run *run)
{
    return u->sender_count == 0 ? u->port : u->sender_ports[run->way.port % u->sender_count];
}

size_t underlay_sent(const struct sent *sent)
{
    uint64_t progress = atomic_load_explicit(&sent->progress, memory_order_relaxed);
    size_t in_call = progress >> 32, n = 0;
    while (n < in_call && n < UNDERLAY_BATCH && sent->messages[n].msg_len > 0)
        n++;
    return (uint32_t)progress + n;
}

void underlay_note_sent(struct sent *sent, size_t n)
{
    atomic_store_explicit(&sent->progress, (uint32_t)n, memory_order_release);
}

size_t underlay_send(const struct underlay *u, const struct tables *tables, const struct sendq *q,
                     const struct run *runs, size_t n, struct sent *sent, int *error)
{
    struct envelope envelopes[UNDERLAY_BATCH];
    struct mmsghdr *messages = sent->messages;
    size_t before = underlay_sent(sent);
    for (size_t i = 0; i < n; i++) {
        struct msghdr *m = &messages[i].msg_hdr;
        messages[i].msg_len = 0;
        *m = (struct msghdr){.msg_iov = (struct iovec *)&q->pieces[runs[i].first_piece],
                             .msg_iovlen = runs[i].pieces};
        address_message(m, &envelopes[i], u, &tables->self, &tables->peers[runs[i].way.peer],
                        runs[i].way.tos);
        if (runs[i].datagrams > 1) {
            uint16_t size = (uint16_t)runs[i].size;
            add_control(m, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
        }
    }
    atomic_store_explicit(&sent->progress, before | (uint64_t)n << 32, memory_order_release);
    int result = sendmmsg(underlay_sender(u, runs), messages, (unsigned)n, MSG_DONTWAIT);
    *error = errno;
    size_t now = result < 0 ? 0 : (size_t)result;
    underlay_note_sent(sent, before + now);
    return now;
}

int underlay_send_singly(const struct underlay *u, const struct tables *tables,
                         const struct sendq *q, const struct run *run)
{
    struct envelope envelope;
    struct msghdr m = {.msg_iov = (struct iovec *)&q->pieces[run->first_piece]};
    const struct iovec *end = m.msg_iov + run->pieces;
    address_message(&m, &envelope, u, &tables->self, &tables->peers[run->way.peer], run->way.tos);
    while (m.msg_iov < end) {
        m.msg_iovlen = sendq_datagram(run, m.msg_iov, end);
        if (sendmsg(underlay_sender(u, run), &m, MSG_DONTWAIT) < 0)
            return errno;
        m.msg_iov += m.msg_iovlen;
    }
    return 0;
}

/* --- receiving ------------------------------------------------------------------------------------------------ */

static void map_address(const void *from, uint8_t address[16])
{
    const struct sockaddr_in *in = from;
    const struct sockaddr_in6 *in6 = from;
    if (in->sin_family == AF_INET6)
        ip_map(6, in6->sin6_addr.s6_addr, address);
    else
        ip_map(4, (const uint8_t *)&in->sin_addr, address);
}

static uint16_t from_port(const struct sockaddr_storage *from)
{
    /* In both families the port is where IPv4 has it. */
    return ntohs(((const struct sockaddr_in *)from)->sin_port);
}

static void read_control(struct msghdr *m, struct received *message, uint32_t *overflows)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof size);
            message->gro_size = size > 0 ? (size_t)size : 0;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            message->tos = *CMSG_DATA(c);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            int tclass;
            memcpy(&tclass, CMSG_DATA(c), sizeof tclass);
            message->tos = (uint8_t)tclass;
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            memcpy(overflows, CMSG_DATA(c), sizeof *overflows);
        }
    }
}

/* Reads what the kernel filled in of the first n messages. */
static void read_batch(struct receiver *r, unsigned n)
{
    r->large = false;
    for (unsigned i = 0; i < n; i++) {
        struct received *message = &r->messages[i];
        struct msghdr *m = &r->headers[i].msg_hdr;
        *message = (struct received){
            .data = r->buffers + i * UNDERLAY_BUFFER,
            .len = r->headers[i].msg_len,
            .truncated = (m->msg_flags & MSG_TRUNC) != 0,
        };
        r->large |= message->len > UNDERLAY_LARGE;
        map_address(&r->from[i], message->source);
        message->port = from_port(&r->from[i]);
        m->msg_control = r->control[i];
        read_control(m, message, &r->overflows);
    }
}

int underlay_receive(const struct underlay *u, struct receiver *r, bool *more)
{
    struct iovec pieces[UNDERLAY_RECEIVE_BATCH];
    unsigned batch = r->large ? UNDERLAY_RECEIVE_LARGE : UNDERLAY_RECEIVE_BATCH;
    for (size_t i = 0; i < batch; i++) {
        pieces[i] = (struct iovec){r->buffers + i * UNDERLAY_BUFFER, UNDERLAY_BUFFER};
        r->headers[i] = (struct mmsghdr){.msg_hdr = {
                                             .msg_name = &r->from[i],
                                             .msg_namelen = sizeof r->from[i],
                                             .msg_iov = &pieces[i],
                                             .msg_iovlen = 1,
                                             .msg_control = r->control[i],
                                             .msg_controllen = sizeof r->control[i],
                                         }};
    }
    atomic_store_explicit(&r->asked, batch, memory_order_release);
    int n = recvmmsg(u->fd, r->headers, batch, MSG_DONTWAIT, NULL);
    *more = n == (int)batch;
    read_batch(r, n < 0 ? 0 : (unsigned)n);
    return n < 0 && errno == EAGAIN ? 0 : n;
}

int underlay_received(struct receiver *r)
{
    unsigned n = atomic_load_explicit(&r->asked, memory_order_relaxed);
    if (n > UNDERLAY_RECEIVE_BATCH)
        return 0;
    /* An empty datagram cannot be told from none; it was none to carry. */
    while (n > 0 && r->headers[n - 1].msg_len == 0)
        n--;
    read_batch(r, n);
    return (int)n;
}

/* --- the error queue ------------------------------------------------------------------------------------------ */

void underlay_read_error(struct msghdr *m, struct send_error *error)
{
    *error = (struct send_error){0};
    map_address(m->msg_name, error->peer);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        bool ours = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
        struct sock_extended_err details;
        if (!ours || c->cmsg_len < CMSG_LEN(sizeof details))
            continue;
        memcpy(&details, CMSG_DATA(c), sizeof details);
        error->error = (int)details.ee_errno;
        error->local = details.ee_origin == SO_EE_ORIGIN_LOCAL;
        error->mtu = details.ee_errno == EMSGSIZE ? details.ee_info : 0;
    }
}

static bool next_error(int fd, struct send_error *error)
{
    struct sockaddr_storage to = {0};
    uint8_t payload[1];
    uint8_t control[512] __attribute__((aligned(8)));
    struct iovec piece = {payload, sizeof payload};
    struct msghdr m = {.msg_name = &to,
                       .msg_namelen = sizeof to,
                       .msg_iov = &piece,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    if (recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
        return false;
    underlay_read_error(&m, error);
    return true;
}

bool underlay_next_error(const struct underlay *u, struct send_error *error)
{
    for (unsigned i = 0; i < u->sender_count; i++)
        if (next_error(u->senders[i], error))
            return true;
    return u->fd >= 0 && next_error(u->fd, error);
}
