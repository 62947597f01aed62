/* Datagrams between unix sockets. */
#include "unixdgram.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* What a message with descriptors points to. */
struct rights {
    struct iovec piece;
    uint8_t control[CMSG_SPACE(UNIXDGRAM_FDS * sizeof(int))] __attribute__((aligned(8)));
};

/* A message of some bytes, with room for `fds` descriptors. */
static struct msghdr message(struct rights *r, void *data, size_t length, size_t fds)
{
    *r = (struct rights){.piece = {data, length}};
    return (struct msghdr){.msg_iov = &r->piece,
                           .msg_iovlen = 1,
                           .msg_control = fds == 0 ? NULL : r->control,
                           .msg_controllen = fds == 0 ? 0 : CMSG_SPACE(fds * sizeof(int))};
}

static int open_socket(void)
{
    const struct timeval patience = {.tv_sec = 1};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

/*
 * The socket that sends. It stays open: a process that may open no more descriptors can still tell its service manager
 * that it lives.
 */
static int sender(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open_socket();
    return fd;
}

/* The address of `path`. Returns 0 or -errno. */
static int address_of(const char *path, struct sockaddr_un *at, socklen_t *at_length)
{
    size_t length = strlen(path);
    if (length == 0)
        return -EINVAL;
    if (length >= sizeof(at->sun_path))
        return -ENAMETOOLONG;
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    *at_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    memcpy(at->sun_path, path, length);
    if (path[0] == '@')
        at->sun_path[0] = '\0';
    return 0;
}

int unixdgram_send(const char *path, const void *data, size_t length, const int *fds, size_t count)
{
    struct sockaddr_un to;
    socklen_t to_length = 0;
    struct rights rights;
    int result = address_of(path, &to, &to_length), fd = sender();
    if (result < 0 || fd < 0)
        return result < 0 ? result : fd;
    struct msghdr m = message(&rights, (void *)data, length, count);
    m.msg_name = &to;
    m.msg_namelen = to_length;
    if (count > 0) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    }
    return sendmsg(fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int unixdgram_bind(const char *path)
{
    struct sockaddr_un at;
    socklen_t at_length = 0;
    int result = address_of(path, &at, &at_length), fd = result < 0 ? result : open_socket();
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&at, at_length) < 0) {
        result = -errno;
        close(fd);
        return result;
    }
    return fd;
}

int unixdgram_receive_fds(int fd, int fds[UNIXDGRAM_FDS])
{
    char ignored;
    struct rights rights;
    struct msghdr m = message(&rights, &ignored, sizeof(ignored), UNIXDGRAM_FDS);
    if (recvmsg(fd, &m, MSG_CMSG_CLOEXEC) < 0)
        return -errno;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return 0;
    memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    return (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
}
