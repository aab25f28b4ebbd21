/* NCCL for the shim, over MPI. Like the library's, its calls put work on a stream, which then begins and ends without the host; messages of a pair of
 * ranks meet in their order, whatever they are. Unlike it, this one holds its caller to the rules: what is sent must not change before
 * it is through, what is received holds NaN until then, sizes must agree, both ends must be memory of the device.
 *
 * SHIM_NCCL_LATE=N: nothing is through before it was asked for N times more, so that who does not wait sees NaN.
 * SHIM_NCCL_STOPS=N: nothing is through after N groups. SHIM_NCCL_BREAKS=N: so, and the communicator has an error. SHIM_NCCL_NEVER: this rank
 * never meets the others. SHIM_FAIL=ncclGroupEnd:CALL:3, say: as in runtime.cpp. Bytes that are sent are counted; SHIM_NCCL_COUNT=FILE keeps the sum. */
#include "include/nccl.h"
#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mpi.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace {

struct message {
    char *data;
    size_t bytes;
    int peer;
    bool receives;
};

/* A sum: parts of all ranks come to `root`, or to all (-1). */
struct sum {
    const char *in;
    char *out;
    size_t count;
    ncclDataType_t type;
    int root;
};

struct group {
    std::vector<message> messages;
    std::vector<sum> sums;
    cudaStream_t stream = nullptr;
};

size_t size_of(ncclDataType_t type) {
    return type == ncclUint8 ? 1 : type == ncclBfloat16 ? 2 : type == ncclFloat ? 4 : 8;
}

/* FNV-1a. */
uint64_t hash(const char *data, size_t bytes) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++) h = (h ^ (unsigned char)data[i]) * 0x100000001b3u;
    return h;
}

float widen(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t narrow(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

void add(ncclDataType_t type, const char *from, char *to, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (type == ncclFloat) ((float *)to)[i] += ((const float *)from)[i];
        if (type == ncclDouble) ((double *)to)[i] += ((const double *)from)[i];
        if (type == ncclBfloat16)
            ((uint16_t *)to)[i] = narrow(widen(((uint16_t *)to)[i]) + widen(((const uint16_t *)from)[i]));
    }
}

int depth = 0;
group open_group;
ncclComm_t group_comm = nullptr;

} // namespace

struct shim_nccl {
    MPI_Comm mpi = MPI_COMM_NULL;
    MPI_Request meeting = MPI_REQUEST_NULL;
    int rank = 0, size = 0, late = 0;
    long begun = 0, stops_after = -1, breaks_after = -1;
    bool met = false, aborted = false, fresh = false; /* fresh: a call has not been asked after */
    uint64_t sent = 0;
};

namespace {

/* A group that has begun: what is under way for it. */
struct flight {
    ncclComm_t comm;
    group what;
    std::vector<MPI_Request> requests;
    std::vector<std::vector<char>> arrived; /* of each message or part that comes */
    std::vector<size_t> expected;           /* its size; by request, as `arrived` */
    std::vector<uint64_t> hashes;           /* of what is sent */
    int late;
    long number;

    void receive(int peer, size_t bytes) {
        arrived.emplace_back(bytes);
        expected.push_back(bytes);
        requests.emplace_back();
        MPI_Irecv(arrived.back().data(), (int)bytes, MPI_BYTE, peer, 0, comm->mpi, &requests.back());
    }
    void send(int peer, const char *data, size_t bytes) {
        hashes.push_back(hash(data, bytes));
        sends.emplace_back();
        MPI_Isend(data, (int)bytes, MPI_BYTE, peer, 0, comm->mpi, &sends.back());
        comm->sent += bytes;
    }
    std::vector<MPI_Request> sends;

    bool comes_to(const sum &s) const { return s.root < 0 || s.root == comm->rank; }

    void begin() {
        for (const message &m : what.messages) {
            if (!shim_on_device(m.data, m.bytes)) shim_stop("nccl: a message is not in memory of the device");
            if (m.receives)
                receive(m.peer, m.bytes);
            else
                send(m.peer, m.data, m.bytes);
        }
        for (const message &m : what.messages)
            if (m.receives) memset(m.data, 0xff, m.bytes);
        for (const sum &s : what.sums) {
            const size_t bytes = s.count * size_of(s.type);
            for (int r = 0; r < comm->size; r++) {
                if (r == comm->rank) continue;
                if (s.root < 0 || s.root == r) send(r, s.in, bytes);
                if (comes_to(s)) receive(r, bytes);
            }
        }
    }

    void finish() {
        size_t in = 0, out = 0;
        for (const message &m : what.messages) {
            if (m.receives)
                memcpy(m.data, arrived[in++].data(), m.bytes);
            else if (hash(m.data, m.bytes) != hashes[out++])
                shim_stop("nccl: memory was written while it was sent");
        }
        for (const sum &s : what.sums) {
            if (!comes_to(s)) continue;
            const size_t bytes = s.count * size_of(s.type);
            std::vector<char> mine(s.in, s.in + bytes), all;
            for (int r = 0; r < comm->size; r++) { /* one after the other: not the tree's order */
                const std::vector<char> &part = r == comm->rank ? mine : arrived[in++];
                if (all.empty())
                    all = part;
                else
                    add(s.type, part.data(), all.data(), s.count);
            }
            memcpy(s.out, all.data(), bytes);
        }
    }

    bool test() {
        if (comm->aborted) return true;
        if (comm->stops_after >= 0 && number > comm->stops_after) return false;
        int in = 0, out = 0;
        std::vector<MPI_Status> from(requests.size());
        MPI_Testall((int)requests.size(), requests.data(), &in, from.data());
        MPI_Testall((int)sends.size(), sends.data(), &out, MPI_STATUSES_IGNORE);
        if (in && !counted) {
            for (size_t i = 0; i < from.size(); i++) {
                int bytes = 0;
                MPI_Get_count(&from[i], MPI_BYTE, &bytes);
                if ((size_t)bytes != expected[i]) shim_stop("nccl: a message has another size than was expected");
            }
            counted = true;
        }
        if (!in || !out || late-- > 0) return false;
        finish();
        return true;
    }
    bool counted = false;
};

ncclResult_t put(ncclComm_t comm) {
    if (open_group.messages.empty() && open_group.sums.empty()) return ncclSuccess;
    const group what = open_group;
    open_group = group();
    shim_work work;
    work.begin = [comm, what] {
        auto f = std::make_shared<flight>();
        f->comm = comm;
        f->what = what;
        f->late = comm->late;
        f->number = ++comm->begun;
        if (!comm->aborted) f->begin();
        return [f] { return f->test(); };
    };
    shim_add(what.stream, work);
    /* Also where the schedule is lazy: messages then leave as early as they may, and what is computed comes as late. */
    if (!shim_is_captured(what.stream)) shim_advance(shim_stream_of(what.stream), nullptr);
    comm->fresh = true;
    return ncclInProgress;
}

ncclResult_t take(ncclComm_t comm, cudaStream_t stream) {
    if (!comm->met) return ncclInvalidUsage;
    const bool first = open_group.messages.empty() && open_group.sums.empty();
    if (!first && open_group.stream != stream) shim_stop("nccl: a group on two streams");
    open_group.stream = stream;
    group_comm = comm;
    return ncclSuccess;
}

ncclResult_t taken() { return depth ? ncclSuccess : put(group_comm); }

long number_of(const char *variable, long otherwise) {
    const char *text = getenv(variable);
    return text ? atol(text) : otherwise;
}

ncclResult_t failure(const char *function) { return (ncclResult_t)shim_failure(function); }

} // namespace

/* A device goes on while its host waits for other ranks. This one goes on with the host alone: so when the host rests in such a wait, which is
 * seen by its call of this function, the device does. */
static const pthread_t main_thread = pthread_self();

extern "C" int nanosleep(const struct timespec *time, struct timespec *left) {
    static bool inside = false;
    if (!inside && pthread_equal(pthread_self(), main_thread)) {
        inside = true;
        shim_advance_all();
        inside = false;
    }
    return (int)syscall(SYS_nanosleep, time, left);
}

ncclResult_t ncclGetVersion(int *version) {
    *version = 22803;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    strcpy(id->internal, "shim");
    return failure("ncclGetUniqueId");
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t *config) {
    if (strcmp(id.internal, "shim") || config->blocking) return ncclInvalidArgument;
    if (failure("ncclCommInitRankConfig") != ncclSuccess) return ncclSystemError;
    *comm = new shim_nccl;
    (*comm)->rank = rank;
    (*comm)->size = ranks;
    (*comm)->late = (int)number_of("SHIM_NCCL_LATE", 0);
    (*comm)->stops_after = number_of("SHIM_NCCL_STOPS", -1);
    (*comm)->breaks_after = number_of("SHIM_NCCL_BREAKS", -1);
    if ((*comm)->breaks_after >= 0) (*comm)->stops_after = (*comm)->breaks_after;
    MPI_Comm_idup(MPI_COMM_WORLD, &(*comm)->mpi, &(*comm)->meeting);
    return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error) {
    int met = comm->met;
    *error = failure("ncclCommGetAsyncError");
    if (comm->breaks_after >= 0 && comm->begun > comm->breaks_after) *error = ncclRemoteError;
    if (*error != ncclSuccess) return ncclSuccess;
    if (!met && !getenv("SHIM_NCCL_NEVER")) MPI_Test(&comm->meeting, &met, MPI_STATUS_IGNORE);
    comm->met = met;
    *error = !met || comm->fresh ? ncclInProgress : ncclSuccess;
    comm->fresh = false;
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
    comm->aborted = true;
    fprintf(stderr, "shim: nccl: aborted\n");
    return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
    const char *name = getenv("SHIM_NCCL_COUNT");
    FILE *f = name ? fopen(name, "a") : nullptr;
    if (f) fprintf(f, "%d %llu\n", comm->rank, (unsigned long long)comm->sent);
    if (f) fclose(f);
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    MPI_Comm_free(&comm->mpi);
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclGroupStart(void) {
    depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void) {
    if (depth-- != 1) return depth < 0 ? ncclInvalidUsage : ncclSuccess;
    const ncclResult_t failed = failure("ncclGroupEnd");
    return failed == ncclSuccess ? put(group_comm) : failed;
}

ncclResult_t ncclSend(const void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
    if (take(comm, stream) != ncclSuccess || peer == comm->rank) return ncclInvalidUsage;
    open_group.messages.push_back({(char *)data, count * size_of(type), peer, false});
    return taken();
}

ncclResult_t ncclRecv(void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
    if (take(comm, stream) != ncclSuccess || peer == comm->rank) return ncclInvalidUsage;
    open_group.messages.push_back({(char *)data, count * size_of(type), peer, true});
    return taken();
}

ncclResult_t ncclAllReduce(const void *in, void *out, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
    if (op != ncclSum || take(comm, stream) != ncclSuccess) return ncclInvalidUsage;
    open_group.sums.push_back({(const char *)in, (char *)out, count, type, -1});
    return taken();
}

ncclResult_t ncclReduce(const void *in, void *out, size_t count, ncclDataType_t type, ncclRedOp_t op, int root,
                        ncclComm_t comm, cudaStream_t stream) {
    if (op != ncclSum || take(comm, stream) != ncclSuccess) return ncclInvalidUsage;
    open_group.sums.push_back({(const char *)in, (char *)out, count, type, root});
    return taken();
}

const char *ncclGetErrorString(ncclResult_t result) {
    return result == ncclRemoteError ? "remote process exited or there was a network error" : "an error of the shim's";
}

const char *ncclGetLastError(ncclComm_t comm) {
    (void)comm;
    return "";
}
