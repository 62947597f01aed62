/* The file, whose it is, and the account of what was written to the TUN. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 8u
#endif

enum {
    VERSION =
        2, /* to be raised when what is in the file means something else and is as large as before */
    SEALS = F_SEAL_SHRINK | F_SEAL_GROW,
    FINISH_NS = 10000000, /* for a thread that is about to end to carry what it has to its end */
};

static uint64_t layout_for(unsigned workers)
{
    return (uint64_t)sizeof(struct journals) << 16 | VERSION << 8 | workers;
}

static struct journals *map(int fd)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *at = mmap(NULL, sizeof(struct journals), PROT_READ | PROT_WRITE, flags, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Its size is sealed, so that no access can fail. */
static bool fits(int fd)
{
    struct stat stat;
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &stat) == 0 &&
           stat.st_size == sizeof(struct journals);
}

static int create(void)
{
    int fd = memfd_create("weft-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("weft-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 &&
        (ftruncate(fd, sizeof(struct journals)) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A lock between processes that the kernel opens when its holder dies (pthread_mutexattr_setrobust(3)). */
static void lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

struct journals *journals_open(int adopted, unsigned workers, int *fd, bool *was_adopted,
                               struct failure *failure)
{
    struct journals *j = fits(adopted) ? map(adopted) : NULL;
    *was_adopted = j != NULL && j->layout == layout_for(workers);
    if (*was_adopted) {
        *fd = fcntl(adopted, F_DUPFD_CLOEXEC, 0);
        return j;
    }
    if (j != NULL)
        journals_close(j, -1);
    *fd = create();
    j = map(*fd);
    if (j == NULL) {
        *failure = (struct failure){.error = errno, .call = "mmap of a journal"};
        return NULL;
    }
    for (size_t i = 0; i < JOURNALS; i++)
        lock_init(&j->of[i].holder);
    j->layout = layout_for(workers);
    return j;
}

void journals_close(struct journals *journals, int fd)
{
    if (journals != NULL)
        munmap(journals, sizeof *journals);
    if (fd >= 0)
        close(fd);
}

bool journal_take(struct journal *j)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += FINISH_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int error = pthread_mutex_clocklock(&j->holder, CLOCK_MONOTONIC, &until);
    if (error == EOWNERDEAD)
        error = pthread_mutex_consistent(&j->holder);
    return error == 0;
}

void journal_give_back(struct journal *j)
{
    pthread_mutex_unlock(&j->holder);
}

uint64_t journals_settle(struct journals *journals, struct journal *receiver, const struct tun *tun)
{
    uint64_t counted, written = 0;
    for (size_t i = 0; i < JOURNALS; i++)
        written += journals->of[i].written;
    if (tun_count_writes(tun, &counted)) {
        /* At most one: the thread ended between a write and the note of it. */
        if (counted - written == journals->others + 1)
            receiver->written++, written++;
        journals->others = counted - written;
    }
    return receiver->written - receiver->batch_begins;
}

void journals_count_others(struct journals *journals, struct journals *spare)
{
    for (size_t i = 0; i < JOURNALS; i++) {
        journals->others += spare->of[i].written;
        spare->of[i].written = 0;
    }
}
