/* Unix datagrams, which Node has no socket for: sd_notify speaks them. */
#ifndef WEFT_UNIXDGRAM_H
#define WEFT_UNIXDGRAM_H

#include <stddef.h>

/*
 * Sends one datagram to the unix socket `path` (NUL-terminated); a leading '@' means the abstract
 * namespace. Waits at most one second for room in the receiver's queue. Returns 0 or -errno:
 * -ENAMETOOLONG for a path that no socket can have, -EAGAIN when the queue stayed full,
 * -ECONNREFUSED or -ENOENT when nobody listens.
 */
int unixdgram_send(const char *path, const void *data, size_t length);

#endif
