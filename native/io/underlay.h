/*
 * The underlay: one UDP socket per address family, bound to the wildcard address so that it works on whatever
 * addresses the host has at the moment. Each datagram leaves from the address the tables name.
 *
 * VXLAN is sent from further sockets, on ports that tell flows apart (core/flow.h). They never receive and no epoll
 * watches them: the kernel would wake a watcher's wait queue for each datagram that has left. What they have to say
 * about earlier sends is fetched by underlay_next_error.
 */
#ifndef WEFT_UNDERLAY_H
#define WEFT_UNDERLAY_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../core/flow.h"
#include "../core/sendq.h"
#include "../core/tables.h"
#include "failure.h"

struct underlay {
    int fd;
    bool adopted;
    int family; /* AF_INET or AF_INET6 */
    uint16_t port;
    bool gso; /* the kernel has UDP_SEGMENT */
    int senders[FLOW_PORTS];
    uint16_t sender_ports[FLOW_PORTS];
    unsigned sender_count; /* 0: datagrams leave from fd */
};

/*
 * Opens a socket of `family` on `port` with large buffers, path MTU discovery (outer DF set), the error queue, and
 * UDP_GRO if `gro` and the kernel has it; with `senders`, also the sockets to send from. `adopted`: a descriptor that
 * may be such a socket already, and is then duplicated; -1: none. Returns 0, or fills *failure and returns -1.
 */
int underlay_open(struct underlay *u, int adopted, int family, uint16_t port, bool senders,
                  bool gso, bool gro, struct failure *failure);
void underlay_close(struct underlay *u);

/* The socket that a run is sent from, and its port. */
int underlay_sender(const struct underlay *u, const struct run *run);
uint16_t underlay_source_port(const struct underlay *u, const struct run *run);

enum { UNDERLAY_BATCH = 64 };

/*
 * How many runs have been sent, or given up, for who has to know although the sender ended in the midst of it: those
 * that were done before its last call, and those of the call that the kernel noted as sent.
 */
struct sent {
    _Atomic uint64_t progress; /* before the call; in the upper half, how many are in the call */
    struct mmsghdr messages[UNDERLAY_BATCH];
};

/* How many runs that is. */
size_t underlay_sent(const struct sent *sent);

/* Has it be n from now on. */
void underlay_note_sent(struct sent *sent, size_t n);

/*
 * Sends `n` runs (at most UNDERLAY_BATCH, all to peers of this family and from one socket), in order, each with one
 * message, and adds to *sent how many. Returns that; when it is less than n, *error is the errno about the next one.
 */
size_t underlay_send(const struct underlay *u, const struct tables *tables, const struct sendq *q,
                     const struct run *runs, size_t n, struct sent *sent, int *error);

/* Sends each datagram of a run by itself. Returns 0, or the errno about the first that failed. */
int underlay_send_singly(const struct underlay *u, const struct tables *tables,
                         const struct sendq *q, const struct run *run);

/* The address family of the socket that reaches a peer. */
int underlay_family(const struct peer *peer);

/*
 * One message of the socket: a datagram, or several of gro_size bytes that the kernel coalesced. Large ones are received
 * a few at a time, so that they stay in the processor's cache; single datagrams, as from senders without a UDP checksum,
 * many at a time, so that there is something to coalesce.
 */
enum {
    UNDERLAY_RECEIVE_BATCH = 32,
    UNDERLAY_RECEIVE_LARGE = 8,
    UNDERLAY_LARGE = 16384,
    UNDERLAY_BUFFER = 65536
};
struct received {
    uint8_t *data;
    size_t len;
    size_t gro_size; /* 0: one datagram */
    uint8_t tos;     /* of the outer header: TOS or traffic class */
    bool truncated;
    uint8_t source[16]; /* outer source address, IPv4 mapped */
    uint16_t port;      /* outer source port */
};
struct receiver {
    uint8_t *buffers; /* UNDERLAY_RECEIVE_BATCH * UNDERLAY_BUFFER bytes */
    struct received messages[UNDERLAY_RECEIVE_BATCH];
    bool large; /* one of the last batch was */
    uint32_t
        overflows; /* losses in the socket's queue since it was opened, as last reported (SO_RXQ_OVFL) */
    /* What the kernel was asked for last, until the owner is done with it and sets this to 0. */
    _Atomic unsigned asked;
    /* What it filled in. UDP_GRO, TOS or traffic class, SO_RXQ_OVFL. */
    struct mmsghdr headers[UNDERLAY_RECEIVE_BATCH];
    struct sockaddr_storage from[UNDERLAY_RECEIVE_BATCH];
    uint8_t control[UNDERLAY_RECEIVE_BATCH]
                   [2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint32_t))]
        __attribute__((aligned(8)));
};

/*
 * Receives a batch. Returns the number of messages, 0 when there is none, or -1 with errno. *more: there may be more.
 */
int underlay_receive(const struct underlay *u, struct receiver *r, bool *more);

/* The batch that a thread had asked for, and was not done with, when it ended; `buffers` may lie elsewhere now. */
int underlay_received(struct receiver *r);

/* What the kernel has to say about an earlier send: its own error, or one that an ICMP message brought. */
struct send_error {
    uint8_t peer[16]; /* the destination of that send */
    int error;        /* errno; 0 when there is none to be read */
    uint32_t mtu;     /* of the path, with EMSGSIZE */
    bool local;       /* the kernel's own */
};

/* Takes one entry of the error queues. Returns false when they are empty. */
bool underlay_next_error(const struct underlay *u, struct send_error *error);

/* Reads such an entry: a message from the error queue with the destination in msg_name. */
void underlay_read_error(struct msghdr *m, struct send_error *error);

#endif
