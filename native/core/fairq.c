/* Deficit round robin over flows, the ring of memory under it, and what is left of it. */
#include "fairq.h"

#include <string.h>

#include "flow.h"

void fairq_init(struct fairq *q, uint8_t *memory, size_t size)
{
    *q = (struct fairq){
        .fresh = {FAIRQ_NONE, FAIRQ_NONE},
        .others = {FAIRQ_NONE, FAIRQ_NONE},
        .memory = memory,
        .size = size,
    };
    for (size_t i = 0; i < FAIRQ_FLOWS; i++)
        q->flows[i].first = q->flows[i].last = FAIRQ_NONE;
}

static unsigned now(const _Atomic unsigned *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* What was stored before is in memory when this is. */
static void become(_Atomic unsigned *value, unsigned to)
{
    atomic_store_explicit(value, to, memory_order_release);
}

static size_t checksum_at(const struct packet *p)
{
    return (size_t)p->csum_start + p->csum_offset;
}

uint8_t *fairq_room(struct fairq *q, size_t size)
{
    unsigned count = now(&q->newest) - q->oldest;
    size += HEADROOM;
    if (count == FAIRQ_PACKETS)
        return NULL;
    if (count == 0)
        q->free_at = q->used_from = 0;
    bool wrapped = count > 0 && q->free_at <= q->used_from;
    if (!wrapped && q->free_at + size > q->size) {
        if (count > 0 && q->used_from < size)
            return NULL;
        q->free_at = 0;
        wrapped = true;
    }
    if (wrapped && count > 0 && q->free_at + size > q->used_from)
        return NULL;
    return q->memory + q->free_at + HEADROOM;
}

static void append_flow(struct fairq *q, struct fairq_list *list, uint16_t flow)
{
    q->flows[flow].next = FAIRQ_NONE;
    if (list->first == FAIRQ_NONE)
        list->first = flow;
    else
        q->flows[list->last].next = flow;
    list->last = flow;
}

static void remove_first(struct fairq *q, struct fairq_list *list)
{
    list->first = q->flows[list->first].next;
}

static uint16_t flow_of(const struct packet *p)
{
    struct ip_info ip;
    return ip_parse(p->data, p->len, &ip) == DROP_NONE
               ? (uint16_t)(flow_hash(p->data, &ip) % FAIRQ_FLOWS)
               : 0;
}

void fairq_put(struct fairq *q, const struct packet *p)
{
    uint16_t number = flow_of(p);
    struct fairq_flow *flow = &q->flows[number];
    unsigned newest = now(&q->newest);
    uint16_t place = (uint16_t)(newest % FAIRQ_PACKETS);
    q->free_at = ((size_t)(p->data - q->memory) + p->len + 63) & ~(size_t)63;
    struct held *held = &q->held[place];
    *held = (struct held){.packet = *p, .end = q->free_at, .next = FAIRQ_NONE};
    memcpy(held->start, p->data, p->len < sizeof held->start ? p->len : sizeof held->start);
    if (p->partial && checksum_at(p) + 2 <= p->len)
        memcpy(held->checksum, p->data + checksum_at(p), 2);
    become(&q->newest, newest + 1);
    q->waiting++;
    if (flow->first == FAIRQ_NONE)
        flow->first = place;
    else
        q->held[flow->last].next = place;
    flow->last = place;
    if (!flow->listed) {
        flow->listed = true;
        flow->credit = FAIRQ_QUANTUM;
        append_flow(q, &q->fresh, number);
    }
}

const struct packet *fairq_take(struct fairq *q)
{
    for (;;) {
        struct fairq_list *list = q->fresh.first != FAIRQ_NONE ? &q->fresh : &q->others;
        if (list->first == FAIRQ_NONE)
            return NULL;
        uint16_t number = list->first;
        struct fairq_flow *flow = &q->flows[number];
        if (flow->first == FAIRQ_NONE) {
            remove_first(q, list);
            /* A fresh flow that ran dry stays for one turn of the others, or it could come back as fresh at once. */
            if (list == &q->fresh && q->others.first != FAIRQ_NONE)
                append_flow(q, &q->others, number);
            else
                flow->listed = false;
            continue;
        }
        if (flow->credit <= 0) {
            flow->credit += FAIRQ_QUANTUM;
            remove_first(q, list);
            append_flow(q, &q->others, number);
            continue;
        }
        unsigned turn = now(&q->turn);
        struct held *held = &q->held[flow->first];
        q->turns[turn] = flow->first;
        become(&q->turn, turn + 1);
        held->taken = true;
        flow->first = held->next;
        flow->credit -= (int32_t)held->packet.len;
        q->waiting--;
        return &held->packet;
    }
}

void fairq_release(struct fairq *q)
{
    become(&q->turn, 0);
    while (q->oldest != now(&q->newest) && q->held[q->oldest % FAIRQ_PACKETS].taken)
        q->used_from = q->held[q->oldest++ % FAIRQ_PACKETS].end;
}

unsigned fairq_left(const struct fairq *q, uint16_t places[FAIRQ_PACKETS], unsigned *turn)
{
    bool told[FAIRQ_PACKETS] = {false};
    unsigned n = 0, newest = now(&q->newest), taken = now(&q->turn);
    for (unsigned i = 0; i < taken && i < FAIRQ_PACKETS; i++) {
        uint16_t place = q->turns[i] % FAIRQ_PACKETS;
        if (!told[place])
            places[n++] = place;
        told[place] = true;
    }
    *turn = n;
    for (unsigned at = q->oldest; at != newest && at - q->oldest < FAIRQ_PACKETS; at++)
        if (!q->held[at % FAIRQ_PACKETS].taken && !told[at % FAIRQ_PACKETS])
            places[n++] = (uint16_t)(at % FAIRQ_PACKETS);
    return n;
}

bool fairq_restore(const struct fairq *q, uint16_t place, uint8_t *memory, struct packet *p)
{
    const struct held *held = &q->held[place];
    size_t at = (size_t)(held->packet.data - q->memory);
    *p = held->packet;
    if (at < HEADROOM || at > q->size || p->len > q->size - at)
        return false;
    p->data = memory + at;
    memcpy(p->data, held->start, p->len < sizeof held->start ? p->len : sizeof held->start);
    if (p->partial && checksum_at(p) + 2 <= p->len)
        memcpy(p->data + checksum_at(p), held->checksum, 2);
    return true;
}
