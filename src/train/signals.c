#include <string.h>

#include "train/trainer.h"

volatile sig_atomic_t stop_signal;

static const int stopping[] = {SIGINT, SIGTERM, SIGUSR1};
static struct sigaction before[sizeof stopping / sizeof *stopping];

static void ask(int number) {
    /* The default action of a second Ctrl-C is to end; a checkpoint that is being written does not count then. */
    if (number == SIGINT) signal(SIGINT, SIG_DFL);
    stop_signal = number;
}

void signals_install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = ask;
    action.sa_flags = SA_RESTART; /* a write that is under way goes on */
    stop_signal = 0;
    for (size_t i = 0; i < sizeof stopping / sizeof *stopping; i++) sigaction(stopping[i], &action, &before[i]);
}

void signals_restore(void) {
    for (size_t i = 0; i < sizeof stopping / sizeof *stopping; i++) sigaction(stopping[i], &before[i], NULL);
}
