/*
 * Descriptors that another weftd opened, and that a service manager kept or that it passed on itself: what waits in
 * their queues is not lost between two daemons. Whatever is not exactly what would be opened now is not used.
 */
#ifndef WEFT_ADOPT_H
#define WEFT_ADOPT_H

#include <stdint.h>

/*
 * A duplicate of `fd`, if that is attached to the TUN device `name` of this network namespace, in the mode weft reads
 * it in; else -1.
 */
int adopt_tun(int fd, const char *name);

/* The same of a UDP socket of this network namespace, bound to the wildcard address of `family` and `port`. */
int adopt_socket(int fd, int family, uint16_t port);

#endif
