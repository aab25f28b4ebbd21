#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

static struct {
    FILE *file;
    int silent, terminal, bar;
} to;

int log_open(const char *path, int rank) {
    to.silent = rank != 0;
    to.terminal = isatty(STDERR_FILENO);
    if (!path || to.silent) return 0;
    to.file = fopen(path, "a");
    if (!to.file) return fail(STATUS_FAILED, "%s: cannot write the log: %s", path, strerror(errno));
    setvbuf(to.file, NULL, _IOLBF, 4096);
    return 0;
}

void log_close(void) {
    if (to.file) fclose(to.file);
    to.file = NULL;
}

void log_line(const char *format, ...) {
    if (to.silent) return;
    if (to.bar) fputs("\r\033[K", stderr);
    to.bar = 0;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    if (!to.file) return;
    va_start(args, format);
    vfprintf(to.file, format, args);
    va_end(args);
    fputc('\n', to.file);
}

int log_has_bar(void) { return to.terminal && !to.silent; }

void log_bar(const char *text) {
    if (!log_has_bar()) return;
    fprintf(stderr, "\r\033[K%s", text);
    fflush(stderr);
    to.bar = text[0] != '\0';
}
