/* What went wrong when something was opened: enough for an error message that names the call. */
#ifndef WEFT_FAILURE_H
#define WEFT_FAILURE_H

struct failure {
    int error;        /* errno */
    const char *call; /* static text, such as "open /dev/net/tun" */
};

#endif
