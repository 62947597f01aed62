/* Covers the file of io/journal: the next process sees what this one wrote, and only in a file that is one. */
#include "../io/journal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

struct opened {
    struct journals *journals;
    int fd;
    bool adopted;
};

static struct opened reopen(int fd)
{
    struct failure failure;
    struct opened o;
    o.journals = journals_open(fd, &o.fd, &o.adopted, &failure);
    CHECK(o.journals != NULL && o.fd >= 0);
    return o;
}

static void next_process_sees_it(void)
{
    struct opened first = reopen(-1);
    CHECK(!first.adopted);
    first.journals->of[1].written = 7;
    struct opened second = reopen(first.fd);
    CHECK(second.adopted && second.fd != first.fd);
    journals_close(first.journals, first.fd);
    CHECK_EQ(second.journals->of[1].written, 7);
    journals_close(second.journals, second.fd);
}

static void check_refused(int fd)
{
    struct opened o = reopen(fd);
    CHECK(!o.adopted);
    CHECK_EQ(o.journals->of[1].written, 0);
    journals_close(o.journals, o.fd);
}

static void other_files_are_left_alone(void)
{
    struct opened other = reopen(-1);
    other.journals->of[1].written = 7;
    other.journals->layout++;
    check_refused(other.fd);
    journals_close(other.journals, other.fd);

    /* Somebody could make it shorter. */
    int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_EQ(ftruncate(fd, sizeof(struct journals)), 0);
    check_refused(fd);
    CHECK_EQ(ftruncate(fd, 4096), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    check_refused(fd);
    close(fd);

    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    check_refused(ends[0]);
    close(ends[0]);
    close(ends[1]);
}

const struct test journal_tests[] = {
    {"the next process sees what this one wrote", next_process_sees_it},
    {"other files are left alone", other_files_are_left_alone},
    {0},
};
