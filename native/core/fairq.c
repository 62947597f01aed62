/* Deficit round robin over flows, and the ring of memory under it. */
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

uint8_t *fairq_room(struct fairq *q, size_t size)
{
    size += HEADROOM;
    if (q->count == FAIRQ_PACKETS)
        return NULL;
    if (q->count == 0)
        q->free_at = q->used_from = 0;
    bool wrapped = q->count > 0 && q->free_at <= q->used_from;
    if (!wrapped && q->free_at + size > q->size) {
        if (q->count > 0 && q->used_from < size)
            return NULL;
        q->free_at = 0;
        wrapped = true;
    }
    if (wrapped && q->count > 0 && q->free_at + size > q->used_from)
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
    uint16_t place = (uint16_t)((q->oldest + q->count++) % FAIRQ_PACKETS);
    q->free_at = ((size_t)(p->data - q->memory) + p->len + 63) & ~(size_t)63;
    q->held[place] = (struct held){.packet = *p, .end = q->free_at, .next = FAIRQ_NONE};
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

struct packet *fairq_take(struct fairq *q)
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
        struct held *held = &q->held[flow->first];
        flow->first = held->next;
        flow->credit -= (int32_t)held->packet.len;
        held->taken = true;
        q->waiting--;
        return &held->packet;
    }
}

void fairq_release(struct fairq *q)
{
    while (q->count > 0 && q->held[q->oldest].taken) {
        q->used_from = q->held[q->oldest].end;
        q->oldest = (q->oldest + 1) % FAIRQ_PACKETS;
        q->count--;
    }
}
