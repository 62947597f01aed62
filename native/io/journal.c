/* The file, and the account of what was written to the TUN. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 8u
#endif

enum {
    VERSION =
        1, /* to be raised when what is in the file means something else and is as large as before */
    SEALS = F_SEAL_SHRINK | F_SEAL_GROW,
};

static const uint64_t LAYOUT = (uint64_t)sizeof(struct journals) << 16 | VERSION;

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

struct journals *journals_open(int adopted, int *fd, bool *was_adopted, struct failure *failure)
{
    struct journals *j = fits(adopted) ? map(adopted) : NULL;
    *was_adopted = j != NULL && j->layout == LAYOUT;
    if (*was_adopted) {
        *fd = fcntl(adopted, F_DUPFD_CLOEXEC, 0);
        return j;
    }
    if (j != NULL)
        journals_close(j, -1);
    *fd = create();
    j = map(*fd);
    if (j != NULL)
        j->layout = LAYOUT;
    else
        *failure = (struct failure){.error = errno, .call = "mmap of a journal"};
    return j;
}

void journals_close(struct journals *journals, int fd)
{
    if (journals != NULL)
        munmap(journals, sizeof *journals);
    if (fd >= 0)
        close(fd);
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
