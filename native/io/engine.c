/* The life of a dataplane, as the control thread sees it. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../sys/unixdgram.h"
#include "realtime.h"
#include "worker.h"

static int open_underlays(struct engine *e, const struct engine_options *o, struct failure *failure)
{
    bool senders = o->format == FORMAT_VXLAN;
    if (o->underlay4 && underlay_open(&e->underlays[0], o->adopt[FD_UNDERLAY4], AF_INET, o->port,
                                      senders, o->gso, o->gro, failure) < 0)
        return -1;
    if (o->underlay6 && underlay_open(&e->underlays[1], o->adopt[FD_UNDERLAY6], AF_INET6, o->port,
                                      senders, o->gso, o->gro, failure) < 0)
        return -1;
    return 0;
}

static int open_journals(struct engine *e, int adopt, struct failure *failure)
{
    bool never;
    int spare_fd = -1;
    e->journals =
        journals_open(adopt, e->worker_count, &e->journal_fd, &e->journal_adopted, failure);
    e->spare = journals_open(-1, e->worker_count, &spare_fd, &never, failure);
    if (spare_fd >= 0)
        close(spare_fd); /* nobody takes it over */
    return e->journals == NULL || e->spare == NULL ? -1 : 0;
}

struct engine *engine_open(const struct engine_options *o, struct failure *failure)
{
    struct engine *e = aligned_alloc(64, (sizeof *e + 63) / 64 * 64);
    if (e == NULL) {
        *failure = (struct failure){.error = ENOMEM, .call = "aligned_alloc"};
        return NULL;
    }
    *e = (struct engine){.format = o->format,
                         .tun = {.fd = -1},
                         .underlays = {{.fd = -1}, {.fd = -1}},
                         .journal_fd = -1,
                         .gro = o->gro,
                         .realtime = o->realtime && realtime_allowed(),
                         /* Each direction has one thread, so that packets keep their order. */
                         .worker_count = o->workers == 2 ? 2 : 1};
    e->rcu.workers = e->worker_count;
    /* Sockets first: a port in use must not make a device appear and vanish. */
    if (open_underlays(e, o, failure) < 0 ||
        tun_open(&e->tun, o->adopt[FD_TUN], o->tun, o->tso, o->uso, failure) < 0)
        goto fail;
    if (open_journals(e, o->adopt[FD_JOURNAL], failure) < 0)
        goto fail;
    for (unsigned i = 0; i < e->worker_count; i++) {
        e->workers[i] = worker_create(e, i, failure);
        if (e->workers[i] == NULL)
            goto fail;
    }
    return e;

fail:
    engine_free(e);
    return NULL;
}

int engine_start(struct engine *e, int gate)
{
    int error = 0;
    for (unsigned i = 0; i < e->worker_count && error == 0; i++)
        error = worker_start(e->workers[i], gate);
    return error;
}

int engine_pause(struct engine *e, const char *gate)
{
    e->gate = gate;
    e->gate_error = 0;
    e->paused_us = worker_now_us();
    atomic_store(&e->stopping, e->worker_count);
    for (unsigned i = 0; i < e->worker_count; i++)
        worker_stop(e->workers[i]);
    for (unsigned i = 0; i < e->worker_count; i++)
        worker_join(e->workers[i]);
    journals_count_others(e->journals, e->spare);
    return e->gate_error;
}

void engine_stopped(struct engine *e)
{
    if (atomic_fetch_sub(&e->stopping, 1) == 1 && e->gate != NULL)
        e->gate_error = -unixdgram_send(e->gate, &e->paused_us, sizeof e->paused_us, NULL, 0);
}

bool engine_advanced(struct engine *e)
{
    bool all = true;
    for (unsigned i = 0; i < e->worker_count; i++)
        all &= worker_advanced(e->workers[i]);
    return all;
}

int engine_fd(const struct engine *e, enum engine_fd which, bool *adopted)
{
    const struct underlay *u = &e->underlays[which == FD_UNDERLAY6];
    switch (which) {
    case FD_TUN:
        *adopted = e->tun.adopted;
        return e->tun.fd;
    case FD_JOURNAL:
        *adopted = e->journal_adopted;
        return e->journal_fd;
    default:
        *adopted = u->adopted;
        return u->fd;
    }
}

int engine_replace_tables(struct engine *e, uint32_t generation, const uint8_t *self,
                          size_t self_len, const uint8_t *peers, size_t peers_len,
                          const uint8_t *routes, size_t routes_len)
{
    const struct tables *current = engine_tables(e);
    /* One place more for statistics than there are workers: engine_trace's, which nobody reads. */
    struct tables *next = tables_build(generation, self, self_len, peers, peers_len, routes,
                                       routes_len, current, e->worker_count + 1);
    if (next == NULL)
        return errno;
    int error = rcu_publish(&e->rcu, next);
    if (error != 0)
        tables_free(next, current);
    return error;
}

uint64_t engine_counter(const struct engine *e, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < e->worker_count; i++) {
        const uint8_t *counters = (const uint8_t *)worker_counters(e->workers[i]);
        sum += atomic_load_explicit((const _Atomic uint64_t *)(const void *)(counters + offset),
                                    memory_order_relaxed);
    }
    return sum;
}

const struct tables *engine_tables(struct engine *e)
{
    rcu_reclaim(&e->rcu);
    return atomic_load(&e->rcu.current);
}

void engine_on_events(struct engine *e, void (*notify)(void *context), void *context)
{
    e->notify = notify;
    e->notify_context = context;
}

bool engine_take_event(struct engine *e, struct event *event)
{
    for (unsigned i = 0; i < e->worker_count; i++)
        if (event_take(worker_events(e->workers[i]), event))
            return true;
    return false;
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    if (e->workers[e->worker_count - 1] != NULL) /* else none was started */
        engine_pause(e, NULL);
    for (unsigned i = 0; i < e->worker_count; i++)
        worker_destroy(e->workers[i]);
    underlay_close(&e->underlays[0]);
    underlay_close(&e->underlays[1]);
    tun_close(&e->tun);
    journals_close(e->journals, e->journal_fd);
    journals_close(e->spare, -1);
    capture_destroy(&e->captures);
    rcu_destroy(&e->rcu);
    free(e);
}
