#include "base/check.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[FAIL_MESSAGE];

int fail(int status, const char *format, ...) {
    char text[sizeof message]; /* the arguments may point into the old message */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(message, text, sizeof text);
    return status;
}

int fail_within(int status, const char *format, ...) {
    char text[sizeof message];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof text) snprintf(text + used, sizeof text - (size_t)used, "%s", message);
    memcpy(message, text, sizeof text);
    return status;
}

const char *fail_message(void) { return message; }

void failure_keep(struct failure *failure, int status) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    if (!status) return;
    pthread_mutex_lock(&mutex);
    if (!failure->status) {
        failure->status = status;
        memcpy(failure->message, message, sizeof message);
    }
    pthread_mutex_unlock(&mutex);
}

int failure_raise(const struct failure *failure) {
    return failure->status ? fail(failure->status, "%s", failure->message) : 0;
}
