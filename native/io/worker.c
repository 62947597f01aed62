/* Life of the thread, then the loop and how it waits. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "worker_state.h"

enum {
    /*
     * How long errors about what was sent may wait in the error queues of sockets that no epoll watches; and how long a
     * worker without work keeps the priority that it had with it.
     */
    IDLE_MS = 100,
    /* How long to look for the next packet before sleeping, while packets follow each other closely. */
    SPIN_US = 100,
    /* With more packets, and KiB of them, in a millisecond there is no need to look for more. */
    LOAD = 128,
    /* With that many KiB, and more than these in a read, it is bulk. */
    BULK_KIB = 2,
    /* How long either then holds; */
    REST_MS = 50,
    /* and how long not to look after somebody kept a yielded processor so long, which doubles while that happens again. */
    SPIN_YIELD_US = 1000,
    REST_MAX_MS = 6400,
};

/* What epoll reports in data.u32. */
enum source { SOURCE_WAKE, SOURCE_TUN, SOURCE_UNDERLAY4, SOURCE_UNDERLAY6, SOURCES };

static void *run(void *argument);

/* --- life ----------------------------------------------------------------------------------------------------- */

static int watch(const struct worker *w, int fd, enum source source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
    return fd < 0 ? 0 : epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int watch_underlays(const struct worker *w)
{
    if (watch(w, w->engine->underlays[0].fd, SOURCE_UNDERLAY4) < 0)
        return -1;
    return watch(w, w->engine->underlays[1].fd, SOURCE_UNDERLAY6);
}

struct worker *worker_create(struct engine *engine, unsigned index, struct failure *failure)
{
    struct worker *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);
    if (w == NULL) {
        *failure = (struct failure){.error = ENOMEM, .call = "aligned_alloc"};
        return NULL;
    }
    memset(w, 0, sizeof *w);
    w->engine = engine;
    w->index = index;
    w->forward.format = engine->format;
    w->forward.worker = index;
    w->forward.counters = &w->counters;
    w->forward.queue = &w->queue;
    w->queue.send = worker_send_runs;
    w->queue.owner = w;
    bool gso = (engine->underlays[0].fd < 0 || engine->underlays[0].gso) &&
               (engine->underlays[1].fd < 0 || engine->underlays[1].gso);
    w->queue.max_datagrams = gso ? RUN_DATAGRAMS : 1;
    w->gro.udp = engine->tun.uso;
    w->gro.write = worker_write_packet;
    w->gro.owner = w;
    w->coalesce = engine->gro;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->rounds_seen = UINT64_MAX;
    if (w->epoll_fd < 0 || w->wake_fd < 0 || watch(w, w->wake_fd, SOURCE_WAKE) < 0 ||
        (index == 0 && watch(w, engine->tun.fd, SOURCE_TUN) < 0) ||
        (index == engine->worker_count - 1 && watch_underlays(w) < 0)) {
        *failure = (struct failure){.error = errno, .call = "epoll of a worker"};
        worker_destroy(w);
        return NULL;
    }
    return w;
}

int worker_start(struct worker *w, int gate)
{
    w->gate = gate;
    /*
     * A thread with a gate is waited for: it counts as carrying bulk until more is known. It inherits the priority, since
     * it would have to wait for a processor to take it by itself.
     */
    struct realtime creator = {0};
    realtime_set(&creator, w->engine->realtime && gate >= 0);
    w->realtime = creator;
    w->bulk_ms = w->rest_ms = gate >= 0 ? worker_now_ms() + REST_MS : 0;
    /* Signals are the event loop's business: the thread is created with all of them blocked. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    realtime_set(&creator, false);
    w->started = error == 0;
    if (w->started)
        pthread_setname_np(w->thread, "weft-worker");
    return error;
}

void worker_stop(struct worker *w)
{
    if (!w->started) {
        engine_stopped(w->engine);
        return;
    }
    atomic_store(&w->stopping, true);
    eventfd_write(w->wake_fd, 1);
}

void worker_join(struct worker *w)
{
    if (!w->started)
        return;
    pthread_join(w->thread, NULL);
    atomic_store(&w->stopping, false);
    w->started = false;
}

bool worker_advanced(struct worker *w)
{
    uint64_t seen = w->rounds_seen;
    w->rounds_seen = atomic_load_explicit(&w->rounds, memory_order_relaxed);
    eventfd_write(w->wake_fd, 1);
    return w->rounds_seen != seen;
}

void worker_destroy(struct worker *w)
{
    if (w == NULL)
        return;
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    free(w);
}

const struct counters *worker_counters(const struct worker *w)
{
    return &w->counters;
}

struct event_ring *worker_events(struct worker *w)
{
    return &w->events;
}

/* Returns whether there was room for the event. */
bool worker_report(struct worker *w, const struct event *event)
{
    if (!event_put(&w->events, event))
        return false;
    if (w->engine->notify != NULL)
        w->engine->notify(w->engine->notify_context);
    return true;
}

/* The same for an event about the host with an underlay address. */
bool worker_report_about(struct worker *w, const uint8_t address[16], struct event event)
{
    memcpy(event.address, address, sizeof event.address);
    return worker_report(w, &event);
}

/* --- the loop ------------------------------------------------------------------------------------------------- */

uint64_t worker_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t worker_now_ms(void)
{
    return worker_now_us() / 1000;
}

/*
 * Once in a millisecond: what is carried, and in what pieces. With much there is no need to look for more. Much in large
 * pieces is bulk, whose senders wait for acknowledgements: those go on the sooner, the sooner it is carried. A flood of
 * small packets is not, whose receivers would not get the processor that they need.
 */
static void weigh_load(struct worker *w)
{
    const _Atomic uint64_t *n = w->counters.value;
    const struct load before = w->load;
    uint64_t passed = w->forward.now_ms - before.ms;
    if (passed == 0)
        return;
    w->load = (struct load){
        .ms = w->forward.now_ms,
        .packets = n[COUNTER_TX_IN] + n[COUNTER_RX_IN],
        .kib = (n[COUNTER_TX_BYTES] + n[COUNTER_RX_BYTES]) / 1024,
        .reads = n[COUNTER_TX_IN] + w->messages,
    };
    uint64_t kib = w->load.kib - before.kib;
    if (w->load.packets - before.packets + kib > LOAD * passed)
        w->rest_ms = w->load.ms + REST_MS;
    if (kib > LOAD * passed && kib > BULK_KIB * (w->load.reads - before.reads))
        w->bulk_ms = w->load.ms + REST_MS;
    if (w->engine->realtime)
        realtime_weigh(&w->realtime, w->load.ms < w->bulk_ms, w->load.ms);
}

static void enter(struct worker *w)
{
    w->forward.tables = rcu_enter(&w->engine->rcu, w->index);
    w->capture = capture_enter(&w->engine->captures, w->index);
    w->forward.now_ms = worker_now_ms();
}

static void leave(struct worker *w)
{
    rcu_leave(&w->engine->rcu, w->index);
}

/* One round over what epoll reported ready. It is level-triggered: what is left is reported again at once. */
static void serve(struct worker *w, const struct epoll_event *events, int n)
{
    bool transmit = fairq_waits(&w->journal->waiting);
    enter(w);
    weigh_load(w);
    for (int i = 0; i < n; i++) {
        enum source source = events[i].data.u32;
        if (source == SOURCE_WAKE) {
            eventfd_t ignored;
            eventfd_read(w->wake_fd, &ignored);
        } else if (source == SOURCE_TUN) {
            transmit = true;
        } else {
            unsigned which = source == SOURCE_UNDERLAY4 ? 0 : 1;
            if (events[i].events & EPOLLERR)
                worker_drain_errors(w, &w->engine->underlays[which]);
            worker_receive(w, which);
        }
    }
    if (transmit)
        worker_transmit(w);
    if (w->unheard && w->forward.now_ms - w->heard_ms >= IDLE_MS) {
        w->unheard = false;
        w->heard_ms = w->forward.now_ms;
        for (size_t i = 0; i < 2; i++)
            worker_drain_errors(w, &w->engine->underlays[i]);
    }
    leave(w);
}

/* Somebody kept the processor that was yielded, and others have done so before: the longer ago, the less it matters. */
static void rest(struct worker *w, uint64_t now_ms)
{
    bool again = now_ms - w->rest_ms < w->rested_ms;
    w->rested_ms = !again ? REST_MS : w->rested_ms < REST_MAX_MS ? 2 * w->rested_ms : REST_MAX_MS;
    w->rest_ms = now_ms + w->rested_ms;
}

/*
 * Waits for something to do. Waking a thread can take longer than everything else that happens to a packet, so where
 * requests and answers follow each other closely the thread stays awake, yielding the processor to whoever wants it.
 */
static int wait_for_work(struct worker *w, struct epoll_event *events)
{
    if (fairq_waits(&w->journal->waiting))
        return epoll_wait(w->epoll_fd, events, SOURCES, 0);
    uint64_t start = worker_now_us(), now = start;
    while (w->close && now / 1000 >= w->rest_ms && now - start < SPIN_US) {
        sched_yield();
        int n = epoll_wait(w->epoll_fd, events, SOURCES, 0);
        uint64_t before = now;
        now = worker_now_us();
        if (now - before > SPIN_YIELD_US)
            rest(w, now / 1000);
        if (n != 0)
            return n;
    }
    int timeout = w->unheard || w->realtime.raised ? IDLE_MS : -1;
    int n = epoll_wait(w->epoll_fd, events, SOURCES, timeout);
    w->close = worker_now_us() - now < SPIN_US;
    return n;
}

/* The shared journal, or a spare one while a worker of another process has that. Returns whether it is the shared one. */
static bool take_journal(struct worker *w)
{
    struct engine *e = w->engine;
    bool shared = journal_take(&e->journals->of[w->index]);
    w->journal = shared ? &e->journals->of[w->index] : &e->spare->of[w->index];
    if (!shared)
        journal_take(w->journal);
    return shared;
}

/*
 * Forwards what the worker before this one had in its hands, if it died: after a stop there is nothing. Who died of
 * doing this leaves it undone.
 */
static void take_up(struct worker *w)
{
    bool shared = take_journal(w);
    struct journal *j = w->journal;
    uint64_t writes_done = 0;
    if (shared && w->index == w->engine->worker_count - 1)
        writes_done = journals_settle(w->engine->journals, j, &w->engine->tun);
    if (!j->again) {
        j->again = true;
        enter(w);
        worker_transmit_left(w);
        worker_receive_left(w, writes_done);
        leave(w);
    }
    j->room.data = NULL;
    fairq_init(&j->waiting, j->tun_buffer, sizeof j->tun_buffer);
    j->receiver.buffers = j->receive_buffers;
    atomic_store(&j->receiver.asked, 0);
    j->again = false;
}

/* Of a worker that has waited at its gate: for how long nobody carried packets. */
static void tell_pause(struct worker *w)
{
    uint64_t paused_us;
    /* Other workers may not have seen it yet. */
    if (recv(w->gate, &paused_us, sizeof paused_us, MSG_PEEK | MSG_DONTWAIT) != sizeof paused_us)
        return;
    uint32_t pause_us = (uint32_t)(worker_now_us() - paused_us);
    worker_report(w, &(struct event){.kind = EVENT_TAKEN_OVER, .value = pause_us});
}

static void carry(struct worker *w)
{
    struct epoll_event events[SOURCES];
    take_up(w);
    if (w->gate >= 0 && w->index == 0)
        tell_pause(w);
    while (!atomic_load_explicit(&w->stopping, memory_order_relaxed)) {
        counter_bump(&w->rounds, 1);
        int n = wait_for_work(w, events);
        if (n < 0 && errno != EINTR) {
            worker_report(w, &(struct event){.kind = EVENT_WORKER_FAILED, .error = errno});
            break;
        }
        if (n >= 0)
            serve(w, events, n);
    }
    enter(w);
    worker_transmit_rest(w);
    leave(w);
    journal_give_back(w->journal);
}

/* Waits until `fd` can be read, or the worker is to stop. Returns whether it can; with -1 it never can. */
static bool wait_until_readable(struct worker *w, int fd)
{
    struct pollfd either[2] = {{.fd = w->wake_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    while (!atomic_load(&w->stopping) && either[1].revents == 0) {
        eventfd_t ignored;
        poll(either, 2, -1);
        eventfd_read(w->wake_fd, &ignored); /* worker_advanced's */
    }
    return either[1].revents != 0;
}

static void *run(void *argument)
{
    struct worker *w = argument;
    /* While it waits, and where it is stopped meanwhile, the packets are another's. */
    if (w->gate < 0 || wait_until_readable(w, w->gate))
        carry(w);
    wait_until_readable(w, -1); /* one that could not go on */
    engine_stopped(w->engine);
    return NULL;
}
