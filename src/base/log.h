/* What a run tells: lines on standard error and in the run's log file, from rank 0 only. On a terminal the last line may be
 * a progress bar that the next line of the log pushes down. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

/* `rank` other than 0 silences everything. `path` NULL: no file. The file is appended to. */
int log_open(const char *path, int rank);
void log_close(void);

__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);

/* Whether standard error is a terminal and this rank talks: then a progress bar makes sense. */
int log_has_bar(void);

/* Shows `text` as the bar, in place of the one before; "" removes it. Nothing without a terminal. */
void log_bar(const char *text);

#endif
