/* Threads that help: all but the one that trains. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/* Starts a thread. Signals are the business of the one that trains, so this one gets none but those that it causes itself, such as SIGBUS
 * where a file that it reads was shortened. 0, or a number of errno. */
int thread_start(pthread_t *thread, void *(*work)(void *), void *argument);

#endif
