/*
 * Covers core/fairq: turns of flows, order within a flow, that no waiting packet's bytes are given away, and what another
 * thread finds of it.
 */
#include "../core/fairq.h"

#include "packets.h"
#include "test.h"

enum { SIZE = 512 * 1024, LARGEST = 65536 };

static struct fairq *new_queue(void)
{
    struct fairq *q = owned(sizeof *q);
    fairq_init(q, owned(SIZE), SIZE);
    return q;
}

/* A UDP packet of flow number `flow` whose payload tells its number. False: no room. */
static bool put(struct fairq *q, uint32_t flow, uint32_t number, size_t len)
{
    uint8_t *room = fairq_room(q, LARGEST);
    if (room == NULL)
        return false;
    struct ip_info ip = {.family = 4, .upper = IPV4_HEADER};
    memset(room, (int)number, len);
    memset(room, 0, IPV4_HEADER);
    room[0] = 0x45;
    room[9] = PROTO_UDP;
    memcpy(room + 12, (uint8_t[]){10, 1, 1, 1, 10, 2, 2, 2}, 8);
    ip_set_length(room, &ip, len);
    put32(room + IPV4_HEADER, flow);
    put32(room + IPV4_HEADER + UDP_HEADER, number);
    fairq_put(q, &(struct packet){.data = room, .len = len});
    return true;
}

static uint32_t flow_of(const struct packet *p)
{
    return get32(p->data + IPV4_HEADER);
}

static uint32_t number_of(const struct packet *p)
{
    return get32(p->data + IPV4_HEADER + UDP_HEADER);
}

/* Takes one and checks which it is. */
static void take(struct fairq *q, uint32_t flow, uint32_t number)
{
    const struct packet *p = fairq_take(q);
    if (!CHECK(p != NULL))
        return;
    CHECK_EQ(flow_of(p), flow);
    CHECK_EQ(number_of(p), number);
}

static void one_flow_leaves_in_order(void)
{
    struct fairq *q = new_queue();
    CHECK(fairq_take(q) == NULL);
    for (uint32_t i = 0; i < 20; i++)
        put(q, 1, i, 100);
    for (uint32_t i = 0; i < 20; i++) {
        CHECK(fairq_waits(q));
        take(q, 1, i);
    }
    CHECK(!fairq_waits(q));
    CHECK(fairq_take(q) == NULL);
}

static void who_sends_little_does_not_wait_behind_who_sends_much(void)
{
    struct fairq *q = new_queue();
    for (uint32_t i = 0; i < 4; i++)
        put(q, 1, i, 40000);
    take(q, 1, 0);
    take(q, 1, 1); /* that was its turn */
    put(q, 2, 0, 100);
    take(q, 2, 0);
    take(q, 1, 2);
}

static void flows_take_turns_by_bytes(void)
{
    struct fairq *q = new_queue();
    unsigned large = 0, small = 0;
    for (uint32_t i = 0; i < 3; i++)
        put(q, 1, i, 60000);
    for (uint32_t i = 0; i < 500; i++)
        put(q, 2, i, 100);
    for (int i = 0; i < 503; i++) {
        const struct packet *p = fairq_take(q);
        if (p == NULL || (flow_of(p) == 1 ? large++ : small++) > 503)
            break;
        /* Two quanta may be between them: one that each has had already, one that is running. */
        if (large < 3 && small < 500)
            CHECK((large * 60000u < small * 100u + 2 * 65536u + 60000u));
    }
    CHECK_EQ(large, 3);
    CHECK_EQ(small, 500);
}

/* A flow that sends its next packet whenever one has left must not keep the others from ever having a turn. */
static void a_flow_that_comes_back_at_once_is_no_longer_fresh(void)
{
    struct fairq *q = new_queue();
    uint32_t number = 0;
    bool served = false;
    put(q, 2, number++, 1400);
    put(q, 1, 0, 1400);
    for (int i = 0; i < 200 && !served; i++) {
        const struct packet *p = fairq_take(q);
        served = p == NULL || flow_of(p) == 1;
        put(q, 2, number++, 1400);
        fairq_release(q);
    }
    CHECK(served);
}

static void what_is_no_ip_packet_waits_too(void)
{
    struct fairq *q = new_queue();
    uint8_t *room = fairq_room(q, LARGEST);
    room[0] = 0xff;
    fairq_put(q, &(struct packet){.data = room, .len = 1});
    const struct packet *p = fairq_take(q);
    CHECK(p != NULL && p->len == 1 && p->data[0] == 0xff);
}

static void room_ends_and_is_won_back(void)
{
    struct fairq *q = new_queue();
    uint32_t n = 0;
    while (put(q, 1, n, 65500))
        n++;
    CHECK(n >= 3);
    CHECK(fairq_take(q) != NULL);
    CHECK(fairq_room(q, LARGEST) == NULL); /* its bytes are still the taker's */
    fairq_release(q);
    CHECK(fairq_room(q, LARGEST) != NULL);
}

static void a_packet_more_than_there_are_places_has_no_room(void)
{
    struct fairq *q = owned(sizeof *q);
    size_t size = (size_t)FAIRQ_PACKETS * 256 + LARGEST + HEADROOM;
    fairq_init(q, owned(size), size);
    for (uint32_t i = 0; i < FAIRQ_PACKETS; i++)
        CHECK(put(q, i, i, 60));
    CHECK(fairq_room(q, LARGEST) == NULL);
    fairq_take(q);
    fairq_release(q);
    CHECK(fairq_room(q, LARGEST) != NULL);
}

/* Whatever comes and goes: each flow in order, every byte as it was put. */
static void random_traffic_stays_whole(void)
{
    enum { FLOWS = 40 };
    struct fairq *q = new_queue();
    uint32_t sent[FLOWS] = {0}, seen[FLOWS] = {0}, refused = 0;
    for (int round = 0; round < 20000; round++) {
        uint32_t flow = random_below(FLOWS);
        size_t len = random_below(8) == 0 ? 20000 + random_below(45000) : 60 + random_below(1400);
        if (random_below(100) < 80) {
            bool room = put(q, flow, sent[flow], len);
            sent[flow] += room;
            refused += !room;
        }
        for (uint32_t n = random_below(round % 2000 < 1000 ? 2 : 4); n > 0; n--) {
            const struct packet *p = fairq_take(q);
            if (p == NULL)
                break;
            uint32_t of = flow_of(p) % FLOWS, number = number_of(p);
            if (!CHECK_EQ(number, seen[of]) || !CHECK_EQ(p->data[p->len - 1], number & 0xff))
                return;
            seen[of]++;
            memset(p->data - HEADROOM, 0xee, HEADROOM); /* the encapsulation */
        }
        if (random_below(4) == 0)
            fairq_release(q);
    }
    while (fairq_take(q) != NULL)
        ;
    fairq_release(q);
    CHECK_EQ(q->newest, q->oldest);
    CHECK(refused > 0);
}

/* What is left, by the numbers of the packets. */
static unsigned left(const struct fairq *q, uint32_t numbers[FAIRQ_PACKETS], unsigned *turn)
{
    uint16_t places[FAIRQ_PACKETS];
    unsigned n = fairq_left(q, places, turn);
    for (unsigned i = 0; i < n; i++)
        numbers[i] = number_of(&q->held[places[i]].packet);
    return n;
}

static void what_is_left_is_told_in_the_order_of_turns(void)
{
    struct fairq *q = new_queue();
    uint32_t numbers[FAIRQ_PACKETS];
    unsigned turn;
    CHECK_EQ(left(q, numbers, &turn), 0);
    for (uint32_t i = 0; i < 4; i++)
        put(q, 1, i, 40000);
    put(q, 2, 4, 100);
    take(q, 1, 0);
    take(q, 1, 1);
    CHECK_EQ(left(q, numbers, &turn), 5);
    CHECK_EQ(turn, 2);
    fairq_release(q);
    take(q, 2, 4);
    CHECK_EQ(left(q, numbers, &turn), 3);
    CHECK_EQ(turn, 1);
    CHECK_BYTES(numbers, ((uint32_t[]){4, 2, 3}), 12);
    /* It lies behind one that was not taken, and is done nevertheless. */
    fairq_release(q);
    CHECK_EQ(left(q, numbers, &turn), 2);
    CHECK_EQ(turn, 0);
    /* The thread ended in fairq_take, before the packet was marked. */
    q->turns[0] = (uint16_t)((q->oldest + 1) % FAIRQ_PACKETS);
    q->turn = 1;
    CHECK_EQ(left(q, numbers, &turn), 2);
    CHECK_BYTES(numbers, ((uint32_t[]){3, 2}), 8);
}

static void what_is_left_is_as_it_was_read_wherever_it_is_now(void)
{
    struct fairq *q = new_queue();
    struct sample s = SAMPLE(.payload = 50);
    make_partial(&s);
    struct packet read = plain_packet(&s), p;
    read.partial = true;
    read.csum_start = (uint16_t)s.upper;
    read.csum_offset = 6;
    read.data = fairq_room(q, LARGEST);
    memcpy(read.data, s.data, s.len);
    fairq_put(q, &read);
    uint16_t place = (uint16_t)(q->oldest % FAIRQ_PACKETS);
    uint8_t *elsewhere = owned(SIZE);
    p = *fairq_take(q);
    ip_decrement_ttl(p.data, 4);
    put16(p.data + s.upper + 6, 0x1234);
    memset(p.data - HEADROOM, 0xee, HEADROOM);
    memcpy(elsewhere, q->memory, SIZE);
    if (CHECK(fairq_restore(q, place, elsewhere, &p))) {
        CHECK(p.data >= elsewhere && p.data < elsewhere + SIZE && p.partial);
        CHECK_BYTES(p.data, s.data, s.len);
    }
    q->held[place].packet.len = SIZE;
    CHECK(!fairq_restore(q, place, elsewhere, &p));
    q->held[place].packet = (struct packet){.data = q->memory - 1, .len = 1};
    CHECK(!fairq_restore(q, place, elsewhere, &p));
}

const struct test fairq_tests[] = {
    {"one flow leaves in order", one_flow_leaves_in_order},
    {"who sends little does not wait behind who sends much",
     who_sends_little_does_not_wait_behind_who_sends_much},
    {"flows take turns by bytes", flows_take_turns_by_bytes},
    {"a flow that comes back at once is no longer fresh",
     a_flow_that_comes_back_at_once_is_no_longer_fresh},
    {"what is no IP packet waits too", what_is_no_ip_packet_waits_too},
    {"room ends and is won back", room_ends_and_is_won_back},
    {"a packet more than there are places has no room",
     a_packet_more_than_there_are_places_has_no_room},
    {"random traffic stays whole", random_traffic_stays_whole},
    {"what is left is told in the order of turns", what_is_left_is_told_in_the_order_of_turns},
    {"what is left is as it was read, wherever it is now",
     what_is_left_is_as_it_was_read_wherever_it_is_now},
    {0},
};
