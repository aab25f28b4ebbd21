/* Who the other ranks are, and whether their processes still live; for waits. */
#ifndef COMM_PEER_H
#define COMM_PEER_H

#include "comm/comm.h"

void peer_self(const struct comm *comm, struct comm_peer *self);

/* 1 where the system tells that the process of `rank` is gone. Processes of other hosts, and those that this one cannot see,
 * count as living. */
int peer_is_gone(const struct comm *comm, int rank);

#endif
