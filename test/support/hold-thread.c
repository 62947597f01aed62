/*
 * Holds one thread of another process still, as if it hung, while the others go on:
 *
 *   hold-thread TID
 *
 * Prints a line when the thread stands still, and ends with it; ended before, it lets the thread go.
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
    /* A thread that is traced is not gone before its tracer has heard of it. */
    int status = 0;
    while (waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status))
        continue;
    return 0;
}
