/* Unix datagrams, which Node has no socket for, and descriptors in them: sd_notify speaks them, and the hand-over. */
#ifndef WEFT_UNIXDGRAM_H
#define WEFT_UNIXDGRAM_H

#include <stddef.h>
#include <stdint.h>

/* Descriptors that one datagram may carry. */
enum { UNIXDGRAM_FDS = 8 };

/*
 * Sends one datagram, and `count` descriptors (UNIXDGRAM_FDS at most) with it, to the unix socket `path`
 * (NUL-terminated); a leading '@' means the abstract namespace. Waits at most one second for room in the receiver's
 * queue. Returns 0 or -errno: -ENAMETOOLONG for a path that no socket can have, -EAGAIN when the queue stayed full,
 * -ECONNREFUSED or -ENOENT when nobody listens.
 */
int unixdgram_send(const char *path, const void *data, size_t length, const int *fds, size_t count);

/* Creates a socket that receives at `path`. Returns its descriptor or -errno. */
int unixdgram_bind(const char *path);

/*
 * Takes the next datagram of such a socket, waiting at most one second (-EAGAIN). Its bytes are ignored. Returns how
 * many descriptors came with it, to be closed by the caller, or -errno.
 */
int unixdgram_receive_fds(int fd, int fds[UNIXDGRAM_FDS]);

#endif
