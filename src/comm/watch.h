/* What waits have in common; for the files of this folder. */
#ifndef COMM_WATCH_H
#define COMM_WATCH_H

#include "comm/comm.h"

/* Like comm_watch(), of a line of the transport. */
int watch_line(struct comm *comm, int line, struct comm_watch *watch);

/* How many seconds this rank lets lower ones tell a failure that all see; `late`: who is to blame, or -1. */
double comm_patience(const struct comm *comm, int late);

#endif
