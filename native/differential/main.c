/*
 * core/ behind a pipe, for the differential test (test/differential/core.ts is the other side).
 *
 *   stdin                                   stdout
 *   requests ──► tables, clock, paths ──► forward_tx, forward_rx ──► gro ──► one response each
 *
 * A message is a length of four bytes and that many bytes; integers are big-endian. A request starts with the letter
 * of its kind, see handle(). What a packet leads to besides its verdict waits in the send queue and in gro, as in a
 * worker, and is told when a flush is asked for. Packets end where their memory ends, so that a sanitizer sees every
 * read behind them. A malformed request ends the program: it comes from the test, which is then wrong.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../core/forward.h"
#include "../core/gro.h"

/* A growing byte string: what is to be answered, or a part of it. */
struct text {
    uint8_t *data;
    size_t len, room;
};

struct cursor {
    const uint8_t *data;
    size_t left;
};

/* Memory of packets that wait for the flush. */
struct kept {
    void *memory;
    struct kept *next;
};

static struct host {
    struct forward forward;
    struct counters counters;
    struct sendq queue;
    struct gro gro;
    bool coalesce;
    struct kept *kept;
    struct text datagrams, written;
    uint32_t datagram_count, written_count;
} host;

/* --- bytes ---------------------------------------------------------------------------------------------------- */

static void die(const char *what)
{
    fprintf(stderr, "differential: %s\n", what);
    exit(2);
}

static uint8_t *more(struct text *t, size_t len)
{
    if (t->len + len > t->room) {
        t->room = 2 * (t->len + len);
        t->data = realloc(t->data, t->room);
        if (t->data == NULL)
            die("no memory");
    }
    t->len += len;
    return t->data + t->len - len;
}

static void add(struct text *t, const void *data, size_t len)
{
    if (len > 0)
        memcpy(more(t, len), data, len);
}

static void add8(struct text *t, unsigned v)
{
    *more(t, 1) = (uint8_t)v;
}

static void add16(struct text *t, unsigned v)
{
    put16(more(t, 2), v);
}

static void add32(struct text *t, size_t v)
{
    put32(more(t, 4), (uint32_t)v);
}

static const uint8_t *take(struct cursor *c, size_t len)
{
    if (len > c->left)
        die("a request is too short");
    c->data += len;
    c->left -= len;
    return c->data - len;
}

static uint8_t take8(struct cursor *c)
{
    return *take(c, 1);
}

static uint16_t take16(struct cursor *c)
{
    return get16(take(c, 2));
}

static uint32_t take32(struct cursor *c)
{
    return get32(take(c, 4));
}

/* A copy of the rest of a request in memory of its exact size, with room in front; lives until the flush. */
static uint8_t *keep(struct cursor *c, size_t room)
{
    struct kept *entry = malloc(sizeof *entry);
    size_t len = c->left;
    uint8_t *memory = malloc(room + len + 1);
    if (entry == NULL || memory == NULL)
        die("no memory");
    /* malloc(0) may be null, so there is one byte more, in front. */
    memcpy(memory + room + 1, take(c, len), len);
    *entry = (struct kept){memory, host.kept};
    host.kept = entry;
    return memory + room + 1;
}

static void release_kept(void)
{
    while (host.kept != NULL) {
        struct kept *entry = host.kept;
        host.kept = entry->next;
        free(entry->memory);
        free(entry);
    }
}

/* --- what io/worker.c does ------------------------------------------------------------------------------------- */

/* The datagrams of a run: its pieces are put together and cut at the run's size, as UDP_SEGMENT does. */
static void tell_run(const struct run *run)
{
    static struct text bytes;
    bytes.len = 0;
    for (size_t i = 0; i < run->pieces; i++) {
        const struct iovec *piece = &host.queue.pieces[run->first_piece + i];
        add(&bytes, piece->iov_base, piece->iov_len);
    }
    size_t told = 0;
    for (size_t at = 0; at < bytes.len; told++) {
        size_t left = bytes.len - at, size = left < run->size ? left : run->size;
        add32(&host.datagrams, run->way.peer);
        add8(&host.datagrams, run->way.port);
        add8(&host.datagrams, run->way.tos);
        add32(&host.datagrams, size);
        add(&host.datagrams, bytes.data + at, size);
        at += size;
    }
    if (told != run->datagrams || bytes.len != run->bytes)
        die("a run is not what it says");
    host.datagram_count += run->datagrams;
}

static void send_queue(void *owner)
{
    (void)owner;
    for (size_t i = 0; i < host.queue.run_count; i++) {
        const struct run *run = &host.queue.runs[i];
        tell_run(run);
        count(&host.counters, COUNTER_TX_FORWARDED, run->packets);
        count(&host.counters, COUNTER_TX_DATAGRAMS, run->datagrams);
        count(&host.counters, COUNTER_TX_BYTES, run->bytes);
    }
}

static void write_packet(void *owner, const struct packet *p, const struct iovec *payloads,
                         unsigned n)
{
    (void)owner;
    struct text *t = &host.written;
    size_t len = p->len;
    unsigned segments = n == 0 ? 1 : n;
    for (unsigned i = 0; i < n; i++)
        len += payloads[i].iov_len;
    add8(t, p->gso);
    add16(t, p->gso == GSO_NONE ? 0 : p->mss);
    add8(t, p->partial);
    add16(t, p->partial ? p->csum_start : 0);
    add16(t, p->partial ? p->csum_offset : 0);
    add32(t, segments);
    add32(t, len);
    add(t, p->data, p->len);
    for (unsigned i = 0; i < n; i++)
        add(t, payloads[i].iov_base, payloads[i].iov_len);
    host.written_count++;
    count(&host.counters, COUNTER_RX_FORWARDED, segments);
}

/* --- requests --------------------------------------------------------------------------------------------------- */

/* H: the names behind the numbers, a line each: drop reasons from 1 on, then counters. */
static void hello(struct text *out)
{
    size_t n;
    const struct counter_info *table = counters_table(&n);
    for (enum drop i = DROP_NONE + 1; i < DROP_COUNT; i++) {
        add(out, drop_name(i), strlen(drop_name(i)));
        add8(out, '\n');
    }
    for (size_t i = 0; i < n; i++) {
        char line[200];
        int len = snprintf(line, sizeof line, "%s %s%s\n",
                           table[i].direction == DIRECTION_TX ? "tx" : "rx",
                           strcmp(table[i].kind, "drop") == 0 ? "drop " : "", table[i].name);
        add(out, line, (size_t)len);
    }
}

static void end_round(void)
{
    gro_flush(&host.gro);
    sendq_flush(&host.queue);
    release_kept();
}

/* R: a host without tables. Format, datagrams per run, whether to coalesce, and UDP too. */
static void reset(struct cursor *c)
{
    struct host *h = &host;
    h->queue.send = send_queue;
    end_round();
    tables_free((struct tables *)h->forward.tables, NULL);
    h->datagrams.len = h->written.len = h->datagram_count = h->written_count = 0;
    memset(&h->forward, 0, sizeof h->forward);
    memset(&h->counters, 0, sizeof h->counters);
    h->forward.format = take8(c) == 0 ? FORMAT_UDP : FORMAT_VXLAN;
    h->forward.counters = &h->counters;
    h->forward.queue = &h->queue;
    h->queue.max_datagrams = take16(c);
    h->gro.write = write_packet;
    h->coalesce = take8(c);
    h->gro.udp = take8(c);
}

/* T: tables, as the lengths of the three kinds of rows and then the rows. */
static void set_tables(struct cursor *c)
{
    const struct tables *before = host.forward.tables;
    size_t self_len = take32(c), peers_len = take32(c), routes_len = take32(c);
    const uint8_t *self = take(c, self_len), *peers = take(c, peers_len),
                  *routes = take(c, routes_len);
    struct tables *tables =
        tables_build(1, self, self_len, peers, peers_len, routes, routes_len, before, 1);
    if (tables == NULL)
        die("the tables were refused");
    end_round();
    host.forward.tables = tables;
    tables_free((struct tables *)before, tables);
}

/* P: a path MTU, of the peer with an underlay address: from the own kernel, or else from a router. */
static void learn_path(struct cursor *c)
{
    const struct tables *t = host.forward.tables;
    const uint8_t *address = take(c, 16);
    struct peer *peer = t == NULL ? NULL : tables_peer(t, address);
    uint32_t mtu = take32(c);
    bool local = take8(c);
    if (peer != NULL)
        path_learn(&peer->state->path, ip_is_mapped(peer->address) ? 4 : 6, mtu, local,
                   host.forward.now_ms);
}

/* X: a packet from the TUN. Answers the reason and the ICMP error for the sender. */
static void tx(struct cursor *c, struct text *out)
{
    struct packet p = {.gso = (enum gso)take8(c), .mss = take16(c), .partial = take8(c)};
    p.csum_start = take16(c);
    p.csum_offset = take16(c);
    p.len = c->left;
    p.data = keep(c, HEADROOM);
    add8(out, forward_tx(&host.forward, &p));
    add(out, host.forward.reply, host.forward.reply_len);
}

/*
 * E: the underlay refuses the first datagram that waits (EMSGSIZE) and tells the MTU of the path. Answers the ICMP error
 * about it. Nothing where so many wait that the queue may have been emptied meanwhile.
 */
static void refuse(struct cursor *c, struct text *out)
{
    struct forward *f = &host.forward;
    uint32_t mtu = take32(c);
    size_t waiting = host.datagram_count;
    for (size_t i = 0; i < host.queue.run_count; i++)
        waiting += host.queue.runs[i].datagrams;
    if (waiting == 0 || waiting > 100)
        return;
    sendq_arrange(&host.queue);
    const struct run *run = &host.queue.runs[0];
    const struct peer *peer = &f->tables->peers[run->way.peer];
    path_learn(&peer->state->path, ip_is_mapped(peer->address) ? 4 : 6, mtu, true, f->now_ms);
    forward_too_big(f, run->way.peer, &host.queue.pieces[run->first_piece], run->pieces);
    add(out, f->reply, f->reply_len);
}

/* D: what the socket handed over. Answers reason and length of each datagram in it. */
static void rx(struct cursor *c, struct text *out)
{
    struct forward *f = &host.forward;
    const uint8_t *source = take(c, 16);
    const struct peer *peer = f->tables == NULL ? NULL : tables_peer(f->tables, source);
    struct datagram d = {.gro_size = take32(c), .tos = take8(c)};
    size_t left = c->left;
    d.data = keep(c, 0);
    do {
        struct packet p;
        d.len = left;
        d.len = forward_rx_split(f, &d);
        enum drop reason = forward_rx(f, peer, &d, &p);
        add8(out, reason);
        add32(out, d.len);
        if (reason == DROP_NONE && p.data != NULL) {
            if (host.coalesce)
                gro_receive(&host.gro, &p);
            else
                write_packet(NULL, &p, NULL, 0);
        }
        d.data += d.len;
        left -= d.len;
    } while (left > 0);
}

/* F: ends a round. Answers the datagrams for peers and the packets for the TUN. */
static void flush(struct text *out)
{
    end_round();
    add32(out, host.datagram_count);
    add(out, host.datagrams.data, host.datagrams.len);
    add32(out, host.written_count);
    add(out, host.written.data, host.written.len);
    host.datagrams.len = host.written.len = host.datagram_count = host.written_count = 0;
}

static void add_counter(struct text *out, uint64_t value)
{
    add32(out, value >> 32);
    add32(out, value & 0xffffffff);
}

/* S: every counter, then per peer what it sent: datagrams, bytes, and when last. */
static void statistics(struct text *out)
{
    size_t n;
    const struct counter_info *table = counters_table(&n);
    for (size_t i = 0; i < n; i++)
        add_counter(out,
                    *(const _Atomic uint64_t *)((const char *)&host.counters + table[i].offset));
    const struct tables *t = host.forward.tables;
    for (uint32_t i = 0; t != NULL && i < t->peer_count; i++) {
        const struct peer_stats *stats = t->peers[i].state->stats;
        add_counter(out, stats->rx_packets);
        add_counter(out, stats->rx_bytes);
        add_counter(out, stats->last_received_ms);
    }
}

static void handle(struct cursor *c, struct text *out)
{
    switch (take8(c)) {
    case 'H':
        hello(out);
        break;
    case 'R':
        reset(c);
        break;
    case 'T':
        set_tables(c);
        break;
    case 'C': /* the clock, in milliseconds */
        host.forward.now_ms = take32(c);
        break;
    case 'P':
        learn_path(c);
        break;
    case 'X':
        tx(c, out);
        break;
    case 'E':
        refuse(c, out);
        break;
    case 'D':
        rx(c, out);
        break;
    case 'F':
        flush(out);
        break;
    case 'S':
        statistics(out);
        break;
    default:
        die("a request of no known kind");
    }
    if (c->left > 0)
        die("a request is too long");
}

int main(void)
{
    uint8_t length[4];
    struct text request = {0}, response = {0};
    while (fread(length, sizeof length, 1, stdin) == 1) {
        request.len = 0;
        size_t len = get32(length);
        if (fread(more(&request, len), 1, len, stdin) != len)
            die("the input ends within a request");
        response.len = 0;
        more(&response, 4);
        handle(&(struct cursor){request.data, len}, &response);
        put32(response.data, (uint32_t)response.len - 4);
        if (fwrite(response.data, response.len, 1, stdout) != 1)
            die("nobody reads the answers");
        /* Answers are held back until the batch ends, which is always a flush or statistics. */
        if (request.data[0] == 'S' || request.data[0] == 'H')
            fflush(stdout);
    }
    return 0;
}
