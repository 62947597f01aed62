/*
 * Any message of a socket's error queue → underlay_read_error: the last whole error in it, by a walk that shares
 * nothing with the CMSG macros. No header is longer than what is left, even where the kernel ran out of room (put_cmsg
 * in net/core/scm.c).
 *
 * File: address family, destination (16), length of the control data (2), control data.
 */
#include "fuzz.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>

#include "../io/underlay.h"

enum { CONTROL = 512 };

static struct sockaddr_in6 take_destination(struct input *in)
{
    struct sockaddr_in6 to = {.sin6_family = take8(in) & 1 ? AF_INET6 : AF_INET};
    if (to.sin6_family == AF_INET6)
        take_bytes(in, &to.sin6_addr, 16);
    else
        take_bytes(in, &((struct sockaddr_in *)(void *)&to)->sin_addr, 4);
    return to;
}

/* Makes the headers such, and reads the errors. */
static struct send_error model_error(uint8_t *control, size_t len)
{
    struct send_error error = {0};
    for (size_t at = 0; at + sizeof(struct cmsghdr) <= len;) {
        struct cmsghdr header;
        struct sock_extended_err details;
        memcpy(&header, control + at, sizeof header);
        if (header.cmsg_len > len - at)
            header.cmsg_len = len - at;
        memcpy(control + at, &header, sizeof header);
        if (header.cmsg_len < sizeof header)
            break;
        bool about_send = (header.cmsg_level == IPPROTO_IP && header.cmsg_type == IP_RECVERR) ||
                          (header.cmsg_level == IPPROTO_IPV6 && header.cmsg_type == IPV6_RECVERR);
        if (about_send && header.cmsg_len >= sizeof header + sizeof details) {
            memcpy(&details, control + at + sizeof header, sizeof details);
            error.error = (int)details.ee_errno;
            error.mtu = details.ee_errno == EMSGSIZE ? details.ee_info : 0;
            error.local = details.ee_origin == SO_EE_ORIGIN_LOCAL;
        }
        at += (header.cmsg_len + 7) & ~(size_t)7;
    }
    return error;
}

void fuzz_send_error(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct sockaddr_in6 to = take_destination(&in);
    struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof to, .msg_control = owned(CONTROL)};
    m.msg_controllen = take16(&in) % (CONTROL + 1);
    take_bytes(&in, m.msg_control, CONTROL);
    struct send_error error, expected = model_error(m.msg_control, m.msg_controllen);
    if (to.sin6_family == AF_INET6)
        memcpy(expected.peer, &to.sin6_addr, 16);
    else
        ip_map(4, (const uint8_t *)&((struct sockaddr_in *)(void *)&to)->sin_addr, expected.peer);
    underlay_read_error(&m, &error);
    CHECK_BYTES(error.peer, expected.peer, 16);
    CHECK_EQ(error.error, expected.error);
    CHECK_EQ(error.mtu, expected.mtu);
    CHECK_EQ(error.local, expected.local);
}
