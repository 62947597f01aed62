/*
 * What a worker has in its hands, in memory that outlives it: a file without a name (memfd_create(2)) that the service
 * manager keeps, as it keeps the queues, and that one daemon hands over to the next. A worker that dies has read packets
 * and not sent them yet; the one after it, of a new process or of the one that handed over, finds them here, and how far
 * the other came, and goes on from there (take_up in io/worker.c): nothing is lost, and nothing is sent twice. A lock that
 * the kernel opens when its holder dies tells the dead from the slow.
 *
 *   inputs    the packets read from the TUN that wait for their turn or have it (core/fairq); the last batch received
 *   progress  of what is sent, how much has left: the kernel notes each message that has, in its msg_len;
 *             of what is written to the TUN, how much has been: the device counts too
 *
 * Inputs stay as they were read, or can be made so again. Forwarding them once more in the same order gives the same
 * outputs, of which the first, those that were done, are left out. Each step is noted by a single store, before it or
 * after it, so that wherever a thread ends, what it leaves can be told.
 *
 * Should forwarding those packets be what it died of: they are tried once more, and not again.
 */
#ifndef WEFT_JOURNAL_H
#define WEFT_JOURNAL_H

#include <pthread.h>

#include "../core/fairq.h"
#include "failure.h"
#include "tun.h"
#include "underlay.h"

enum {
    /* Packets that were read wait here for their flow's turn: 64 super-packets. Little of it is used without a queue. */
    TUN_BUFFER = 64 * (TUN_PACKET_MAX + HEADROOM),
    JOURNALS = 2, /* the most workers there are */
};

/* Of one worker. */
struct journal {
    pthread_mutex_t holder; /* the thread whose it is, in whatever process */
    struct fairq waiting;
    struct tun_room room;     /* where a packet is being read to, */
    _Atomic unsigned reading; /* and its number, once it waits */
    struct sent sent;         /* since the first packet whose turn it is was taken */
    struct receiver receiver;
    uint64_t written;      /* packets and super-packets to the TUN, ever, */
    uint64_t batch_begins; /* and when the last batch was asked for */
    bool again;            /* what a worker left is being forwarded by the next one */
    uint8_t tun_buffer[TUN_BUFFER];
    uint8_t receive_buffers[UNDERLAY_RECEIVE_BATCH * UNDERLAY_BUFFER];
};

/* The file. */
struct journals {
    uint64_t layout; /* of the version that wrote it, with so many workers */
    uint64_t others; /* what the TUN has counted, less what is `written` */
    struct journal of[JOURNALS];
};

/*
 * Maps `adopted`, if that is such a file of this version for so many workers, or else a new one; *fd is then its
 * descriptor, or -1 where the kernel has no such files and nothing can outlive the process. Null with *failure filled.
 */
struct journals *journals_open(int adopted, unsigned workers, int *fd, bool *was_adopted,
                               struct failure *failure);

void journals_close(struct journals *journals, int fd);

/*
 * Makes it the calling thread's, until that ends or gives it back. False: it is another's, who lives and has not finished
 * within a moment.
 */
bool journal_take(struct journal *journal);
void journal_give_back(struct journal *journal);

/*
 * How many packets of its last batch the thread that received it has written to the TUN. For the thread that goes on
 * with it, before it writes any; from then on the TUN's counter is compared with its own.
 */
uint64_t journals_settle(struct journals *journals, struct journal *receiver,
                         const struct tun *tun);

/* Counts what workers with a spare file, who have stopped, have written to the TUN. */
void journals_count_others(struct journals *journals, struct journals *spare);

#endif
