/* Covers the file of io/journal: the next process sees what this one wrote, and only in a file that is one. */
#include "../io/journal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

struct opened {
    struct journals *journals;
    int fd;
    bool adopted;
};

enum { WORKERS = 2 };

static struct opened reopen(int fd)
{
    struct failure failure;
    struct opened o;
    o.journals = journals_open(fd, WORKERS, &o.fd, &o.adopted, &failure);
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

/* Another process, which has the journal of worker 1. */
static pid_t start_holder(struct journals *journals)
{
    int told[2];
    char byte;
    CHECK_EQ(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool taken = journal_take(&journals->of[1]);
        if (write(told[1], taken ? "y" : "n", 1) == 1)
            pause();
        _exit(1);
    }
    CHECK_EQ(read(told[0], &byte, 1), 1);
    CHECK_EQ(byte, 'y');
    close(told[0]);
    close(told[1]);
    return pid;
}

static void one_process_has_it_until_it_dies(void)
{
    struct opened o = reopen(-1);
    pid_t holder = start_holder(o.journals);
    CHECK(!journal_take(&o.journals->of[1]));
    CHECK(journal_take(&o.journals->of[0]));
    journal_give_back(&o.journals->of[0]);
    for (int deaths = 0; deaths < 2; deaths++) {
        kill(holder, SIGKILL);
        CHECK_EQ(waitpid(holder, NULL, 0), holder);
        holder = start_holder(o.journals);
    }
    kill(holder, SIGKILL);
    CHECK_EQ(waitpid(holder, NULL, 0), holder);
    for (int i = 0; i < 2; i++) {
        CHECK(journal_take(&o.journals->of[1]));
        journal_give_back(&o.journals->of[1]);
    }
    journals_close(o.journals, o.fd);
}

static void other_numbers_of_workers_have_others(void)
{
    struct opened two = reopen(-1), one;
    struct failure failure;
    one.journals = journals_open(two.fd, 1, &one.fd, &one.adopted, &failure);
    CHECK(!one.adopted);
    journals_close(one.journals, one.fd);
    journals_close(two.journals, two.fd);
}

const struct test journal_tests[] = {
    {"the next process sees what this one wrote", next_process_sees_it},
    {"other files are left alone", other_files_are_left_alone},
    {"one process has it, until it dies", one_process_has_it_until_it_dies},
    {"other numbers of workers have others", other_numbers_of_workers_have_others},
    {0},
};
