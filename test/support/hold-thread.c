/*
 * Holds one thread of another process still, as if it hung, while the others go on:
 *
 *   hold-thread TID
 *
 * Prints a line when the thread stands still; lets it go when the standard input ends, unless the process has ended by
 * then.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: hold-thread TID");
    pid_t tid = atoi(argv[1]);
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0 ||
        ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 || waitpid(tid, NULL, __WALL) < 0)
        err(1, "thread %d", (int)tid);
    puts("held");
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    ptrace(PTRACE_DETACH, tid, NULL, NULL);
    return 0;
}
