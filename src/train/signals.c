#include <string.h>
#include <unistd.h>

#include "base/check.h"

#include "train/trainer.h"

volatile sig_atomic_t stop_signal;

static const int stopping[] = {SIGINT, SIGTERM, SIGUSR1};
static struct sigaction before[sizeof stopping / sizeof *stopping], before_bus;

static void ask(int number) {
    /* The default action of a second Ctrl-C is to end; a checkpoint that is being written does not count then. */
    if (number == SIGINT) signal(SIGINT, SIG_DFL);
    stop_signal = number;
}

/* A mapped file was cut short: what was read is nowhere, so the process cannot go on. */
static void lost_data(int number) {
    static const char text[] =
        "lockstep: a data file was shortened while it was read; put it back, and resume the run\n";
    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(STATUS_FAILED);
    _exit(STATUS_BAD_DATA);
}

void signals_install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = ask;
    action.sa_flags = SA_RESTART; /* a write that is under way goes on */
    stop_signal = 0;
    for (size_t i = 0; i < sizeof stopping / sizeof *stopping; i++) sigaction(stopping[i], &action, &before[i]);
    action.sa_handler = lost_data;
    sigaction(SIGBUS, &action, &before_bus);
}

void signals_restore(void) {
    for (size_t i = 0; i < sizeof stopping / sizeof *stopping; i++) sigaction(stopping[i], &before[i], NULL);
    sigaction(SIGBUS, &before_bus, NULL);
}
