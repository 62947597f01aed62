/*
 * One netlink request and its whole answer. What the messages mean is the caller's business:
 * requests are built and answers parsed in src/linux/rtnetlink.ts.
 */
#ifndef WEFT_NETLINK_H
#define WEFT_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long a request may take altogether before netlink_exchange gives up with -ETIMEDOUT. */
enum { NETLINK_TIMEOUT_MS = 5000 };

/*
 * Whether a datagram holds nothing but whole messages with that sequence number, which makes it an answer. *last
 * then tells whether one of them ends the answer (NLMSG_DONE, NLMSG_ERROR).
 */
bool netlink_answers(const uint8_t *bytes, size_t length, uint32_t sequence, bool *last);

/* Receives one datagram of the answer, valid during the call. A non-zero result ends the exchange.
 */
typedef int netlink_receiver(void *context, const void *datagram, size_t length);

/*
 * Sends `request`, one complete message in host byte order, on a fresh socket of `protocol`
 * (NETLINK_ROUTE) and hands every datagram of the answer to `receive`, up to and including the one
 * with NLMSG_DONE or NLMSG_ERROR. A request that is not a dump must therefore carry NLM_F_ACK.
 * Datagrams that another process sent or that answer another sequence number are ignored.
 *
 * Returns 0 when the answer is complete (also when it is an NLMSG_ERROR), the receiver's non-zero
 * result, or -errno: -EINVAL for a request whose nlmsg_len is not its length, -ETIMEDOUT, or that
 * of a system call.
 */
int netlink_exchange(int protocol, const void *request, size_t length, netlink_receiver *receive,
                     void *context);

#endif
