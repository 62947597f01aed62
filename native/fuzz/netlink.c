/*
 * Any datagram of a netlink socket: taken for the answer to a request only when it is one, message by message. What
 * the messages mean is TypeScript's business (test/unit/netlink-hostile.test.ts).
 *
 * File: datagram.
 */
#include "fuzz.h"

#include <linux/netlink.h>

#include "../sys/netlink.h"

enum { SEQUENCE = 1 };

void fuzz_netlink(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct bytes datagram = take_rest(&in, 0);
    bool last = false, whole = datagram.len > 0, ends = false;
    bool answers = netlink_answers(datagram.data, datagram.len, SEQUENCE, &last);
    for (size_t at = 0; whole && at + sizeof(struct nlmsghdr) <= datagram.len;) {
        struct nlmsghdr header;
        memcpy(&header, datagram.data + at, sizeof header);
        whole = header.nlmsg_len >= sizeof header && at + header.nlmsg_len <= datagram.len &&
                header.nlmsg_seq == SEQUENCE;
        ends = ends || header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR;
        at += (header.nlmsg_len + 3) & ~3u;
    }
    CHECK_EQ(answers, whole && datagram.len >= sizeof(struct nlmsghdr));
    CHECK(!answers || last == ends);
}
