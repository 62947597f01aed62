/*
 * The way of a request: fresh socket → sendto the kernel → peek at the next datagram's size →
 * receive it → check sender and sequence → receiver, until a message ends the answer. A socket per
 * request means that an answer to an earlier, abandoned request can never be mistaken for this
 * one's.
 */
#include "netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The kernel fills at most 32 KiB per datagram of a dump; only a single larger message makes the
 * buffer grow. */
enum { INITIAL_CAPACITY = 64 * 1024 };

struct buffer {
    uint8_t *bytes;
    size_t capacity;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until the socket is readable; -ETIMEDOUT at `deadline` (milliseconds of CLOCK_MONOTONIC).
 */
static int wait_readable(int fd, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - now_ms();
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&entry, 1, (int)left) : 0;

        if (ready > 0)
            return 0;
        if (ready == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

/* Receives one datagram whole, growing the buffer when needed. Returns its length or -errno. */
static ssize_t receive_whole(int fd, struct buffer *buffer, struct sockaddr_nl *from)
{
    struct iovec part = {.iov_base = buffer->bytes, .iov_len = buffer->capacity};
    struct msghdr message = {
        .msg_name = from, .msg_namelen = sizeof(*from), .msg_iov = &part, .msg_iovlen = 1};
    ssize_t size = recvmsg(fd, &message, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

    if (size < 0)
        return -errno;
    if ((size_t)size > buffer->capacity) {
        uint8_t *larger = realloc(buffer->bytes, (size_t)size);

        if (larger == NULL)
            return -ENOMEM;
        *buffer = (struct buffer){.bytes = larger, .capacity = (size_t)size};
        part = (struct iovec){.iov_base = larger, .iov_len = (size_t)size};
    }
    size = recvmsg(fd, &message, MSG_DONTWAIT);
    if (size < 0)
        return -errno;
    return (message.msg_flags & MSG_TRUNC) != 0 ? -EMSGSIZE : size;
}

bool netlink_answers(const uint8_t *bytes, size_t length, uint32_t sequence, bool *last)
{
    struct nlmsghdr header;
    size_t offset = 0;

    *last = false;
    for (; offset + sizeof(header) <= length; offset += NLMSG_ALIGN(header.nlmsg_len)) {
        memcpy(&header, bytes + offset, sizeof(header));
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > length - offset ||
            header.nlmsg_seq != sequence)
            return false;
        if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR)
            *last = true;
    }
    return offset > 0;
}

static int receive_answer(int fd, uint32_t sequence, netlink_receiver *receive, void *context)
{
    int64_t deadline = now_ms() + NETLINK_TIMEOUT_MS;
    struct buffer buffer = {.bytes = malloc(INITIAL_CAPACITY), .capacity = INITIAL_CAPACITY};
    bool last = false;
    int result = buffer.bytes == NULL ? -ENOMEM : 0;

    while (result == 0 && !last) {
        struct sockaddr_nl from = {0};
        ssize_t length;

        result = wait_readable(fd, deadline);
        if (result != 0)
            break;
        length = receive_whole(fd, &buffer, &from);
        if (length == -EINTR || length == -EAGAIN)
            continue;
        if (length < 0)
            result = (int)length;
        else if (from.nl_pid == 0 && netlink_answers(buffer.bytes, (size_t)length, sequence, &last))
            result = receive(context, buffer.bytes, (size_t)length);
    }
    free(buffer.bytes);
    return result;
}

int netlink_exchange(int protocol, const void *request, size_t length, netlink_receiver *receive,
                     void *context)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    const int on = 1;
    struct nlmsghdr header;
    int fd, result = 0;

    if (length < sizeof(header))
        return -EINVAL;
    memcpy(&header, request, sizeof(header));
    if (header.nlmsg_len != length)
        return -EINVAL;

    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -errno;
    /* A sentence with each error, and no copy of the request. Kernels that lack either answer as
     * before. */
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    if (sendto(fd, request, length, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        result = -errno;
    else
        result = receive_answer(fd, header.nlmsg_seq, receive, context);
    close(fd);
    return result;
}
