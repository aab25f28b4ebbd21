#include "comm/peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum look { UNKNOWN, NOT_THERE, THERE };

static enum look not_read(void) { return errno == ENOENT || errno == ESRCH ? NOT_THERE : UNKNOWN; }

/* State and start time of a process, fields 3 and 22 of /proc/PID/stat. The name in field 2 may hold anything, but no ')' comes after
 * its own. Unknown where this process cannot look, for want of file descriptors, say. */
static enum look read_process(long pid, char *state, unsigned long long *born) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f) return not_read();
    errno = 0;
    size_t length = fread(text, 1, sizeof text - 1, f);
    enum look empty = not_read();
    fclose(f);
    text[length] = 0;
    const char *rest = strrchr(text, ')');
    if (!rest) return empty;
    return sscanf(rest + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", state,
                  born) == 2
               ? THERE
               : UNKNOWN;
}

void peer_self(const struct comm *comm, struct comm_peer *self) {
    char state;
    memset(self, 0, sizeof *self);
    memcpy(self->host, comm->host, sizeof self->host);
    self->pid = (long)getpid();
    if (read_process(self->pid, &state, &self->born) != THERE) self->born = 0;
}

/* A host of the same name may be another machine, or another container: a process counts as seen only once it was found there
 * with the start time that it told. */
int peer_is_gone(const struct comm *comm, int rank) {
    struct comm_peer *peer = &comm->peers[rank];
    char state = 0;
    unsigned long long born = 0;
    if (!peer->born || strcmp(peer->host, comm->host) != 0) return 0;
    enum look look = read_process(peer->pid, &state, &born);
    if (look == UNKNOWN) return 0;
    int found = look == THERE && born == peer->born;
    if (found && !peer->seen) peer->seen = 1;
    if (!found && !peer->seen) peer->born = 0; /* not of this machine */
    return peer->born && (!found || state == 'Z' || state == 'X');
}
