#include "bench/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

static volatile sig_atomic_t stopped;

static const int endings[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { ENDING = sizeof endings / sizeof *endings };

static void note(int signal) { stopped = signal; }

void child_catch_signals(void) {
    const struct sigaction action = {.sa_handler = note};
    for (int i = 0; i < ENDING; i++) sigaction(endings[i], &action, NULL);
}

int child_stopped(void) { return stopped != 0; }

/* In the child: a process group of its own, so that what it starts can be killed with it. */
static void start(const struct child *child, int log) {
    char threads[16];
    snprintf(threads, sizeof threads, "%d", child->threads);
    setpgid(0, 0);
    for (int i = 0; i < ENDING; i++) signal(endings[i], SIG_DFL);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* a harness that is killed takes its run with it */
#endif
    setenv("OMP_NUM_THREADS", threads, 1);
    int nothing = open("/dev/null", O_RDONLY);
    if (chdir(child->folder)) _exit(126);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) _exit(126);
    execvp(child->argv[0], (char *const *)child->argv);
    fprintf(stderr, "cannot start %s: %s\n", child->argv[0], strerror(errno));
    fflush(stderr);
    _exit(127);
}

/* Asks the child to end once, so that a launcher ends its ranks, which are in process groups of their own; later it is not asked. */
struct ending {
    double asked_at; /* 0: not yet */
    int killed;
};

static void end_child(pid_t pid, struct ending *ending) {
    enum { PATIENCE_S = 3 };
    if (!ending->asked_at) {
        ending->asked_at = clock_seconds();
        kill(-pid, SIGTERM);
    } else if (!ending->killed && clock_seconds() - ending->asked_at > PATIENCE_S) {
        ending->killed = 1;
        kill(-pid, SIGKILL);
    }
}

static void do_nothing(int signal) { (void)signal; }

/* A clock that interrupts a wait once a second: a harness that polled would take time, and cores, from what it measures. */
static void tick(int seconds) {
    const struct sigaction action = {.sa_handler = do_nothing};
    const struct itimerval every = {{seconds, 0}, {seconds, 0}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

static int wait_for(struct child *child, pid_t pid) {
    struct rusage usage;
    struct ending end = {0};
    int state;
    double begin = clock_seconds();
    pid_t done;
    tick(1);
    while ((done = wait4(pid, &state, 0, &usage)) < 0 && errno == EINTR)
        if (stopped || (child->limit_s > 0 && clock_seconds() - begin > child->limit_s)) end_child(pid, &end);
    tick(0);
    child->seconds = clock_seconds() - begin;
    if (done < 0) return fail(STATUS_FAILED, "waiting for %s: %s", child->argv[0], strerror(errno));
    child->code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
#ifdef __APPLE__
    child->peak_bytes = usage.ru_maxrss;
#else
    child->peak_bytes = (int64_t)usage.ru_maxrss * 1024;
#endif
    if (stopped) return STATUS_STOPPED;
    if (end.asked_at > 0) return fail(STATUS_FAILED, "took longer than %.0f s and was ended", child->limit_s);
    return 0;
}

int child_run(struct child *child) {
    if (stopped) return STATUS_STOPPED;
    int log = open(child->log, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
    if (log < 0) return fail(STATUS_FAILED, "%s: cannot write: %s", child->log, strerror(errno));
    fflush(NULL); /* what is not written yet would be written twice */
    pid_t pid = fork();
    if (pid == 0) start(child, log);
    close(log);
    if (pid < 0) return fail(STATUS_FAILED, "cannot start %s: %s", child->argv[0], strerror(errno));
    setpgid(pid, pid); /* whoever of both is first */
    return wait_for(child, pid);
}

void child_last_words(const char *log, char *out, int64_t size) {
    FILE *f = fopen(log, "r");
    char *line = NULL;
    size_t room = 0;
    int own = 0; /* a launcher adds lines about lines */
    snprintf(out, (size_t)size, "it said nothing");
    while (f && getline(&line, &room, f) > 0) {
        int error = !strncmp(line, "lockstep: ", 10);
        line[strcspn(line, "\r\n")] = '\0';
        if (error || (!own && line[strspn(line, " \t-*")])) snprintf(out, (size_t)size, "%s", line);
        own |= error;
    }
    free(line);
    if (f) fclose(f);
}
