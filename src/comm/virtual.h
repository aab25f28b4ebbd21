/* Many ranks in one process, each a thread: for tests. */
#ifndef COMM_VIRTUAL_H
#define COMM_VIRTUAL_H

#include "comm/comm.h"

struct virtual_world;

/* A world of `size` ranks. Free it after all of them have closed. */
int virtual_new(int size, struct virtual_world **world);
void virtual_free(struct virtual_world *world);

/* Opens *comm as `rank` of the world. Collective: each rank calls it, from a thread of its own. */
int virtual_join(struct virtual_world *world, int rank, struct comm *comm);

#endif
