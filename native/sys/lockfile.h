/* A file that at most one process holds: two daemons on one host must not share a run directory. */
#ifndef WEFT_LOCKFILE_H
#define WEFT_LOCKFILE_H

/*
 * Creates `path` if needed and locks it exclusively without waiting. Returns a file descriptor that
 * holds the lock until it is closed, or -errno: -EAGAIN when another process holds it. The
 * lock dies with its process; the file stays, and is never followed when it is a symbolic link.
 */
int lockfile_acquire(const char *path);

#endif
