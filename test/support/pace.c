/*
 * Sends a UDP datagram again and again, so many a second for so long, and prints how many were sent.
 *
 *   pace ADDRESS PORT PER_SECOND MILLISECONDS HEX
 *
 * PER_SECOND 0 is as many as go. Every other datagram has a byte of padding behind it, so that no receiver can take
 * a run of them for one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, SIZE_MAX_BYTES = 1500 };

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t read_hex(const char *text, uint8_t *bytes)
{
    size_t n = strlen(text) / 2;
    if (n > SIZE_MAX_BYTES)
        errx(1, "more than %d bytes", SIZE_MAX_BYTES);
    for (size_t i = 0; i < n; i++) {
        const char digits[3] = {text[2 * i], text[2 * i + 1], 0};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return n;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        errx(2, "usage: pace ADDRESS PORT PER_SECOND MILLISECONDS HEX");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    uint64_t per_second = strtoull(argv[3], NULL, 10);
    uint64_t duration = strtoull(argv[4], NULL, 10) * 1000000;
    static uint8_t data[SIZE_MAX_BYTES + 1];
    size_t len = read_hex(argv[5], data);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        err(1, "sending to %s", argv[1]);

    struct iovec pieces[BATCH];
    struct mmsghdr messages[BATCH];
    memset(messages, 0, sizeof messages);
    for (size_t i = 0; i < BATCH; i++) {
        pieces[i] = (struct iovec){data, len + i % 2};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    uint64_t sent = 0, begin = now_ns();
    for (uint64_t elapsed = 0; elapsed < duration; elapsed = now_ns() - begin) {
        uint64_t due = per_second == 0 ? sent + BATCH : elapsed * per_second / 1000000000u;
        if (due == sent) {
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
            continue;
        }
        unsigned n = due - sent < BATCH ? (unsigned)(due - sent) : BATCH;
        int done = sendmmsg(fd, messages, n, 0);
        sent += done > 0 ? (uint64_t)done : 0;
    }
    printf("%llu\n", (unsigned long long)sent);
    return 0;
}
