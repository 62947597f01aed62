/* One datagram to a unix socket, over a fresh socket. */
#include "unixdgram.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

int unixdgram_send(const char *path, const void *data, size_t length)
{
    const struct timeval patience = {.tv_sec = 1};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t path_length = strlen(path);
    socklen_t to_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_length);
    int fd, result = 0;

    if (path_length == 0)
        return -EINVAL;
    if (path_length >= sizeof(to.sun_path))
        return -ENAMETOOLONG;
    memcpy(to.sun_path, path, path_length);
    if (path[0] == '@')
        to.sun_path[0] = '\0';

    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (sendto(fd, data, length, MSG_NOSIGNAL, (const struct sockaddr *)&to, to_length) < 0)
        result = -errno;
    close(fd);
    return result;
}
