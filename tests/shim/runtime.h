/* What the host side of the shim shares: runtime.cpp, streams.cpp, capture.cpp, nccl.cpp. */
#ifndef SHIM_RUNTIME_H
#define SHIM_RUNTIME_H

#include "fibers.h"
#include "include/cuda_runtime_api.h"

#include <deque>
#include <functional>
#include <memory>
#include <vector>

/* One record of an event on a stream. A wait is for the record that was newest when it was asked for, as in CUDA. */
struct shim_mark {
    bool passed = false;
    shim_stream *stream = nullptr;
    double at = 0;
};
typedef std::shared_ptr<shim_mark> mark_ref;

/* What work on a stream does: it is asked again and again until it says true; only then does the stream go on. */
typedef std::function<bool()> work_poll;

struct shim_work {
    std::function<work_poll()> begin; /* called when the stream has come so far; NULL: nothing to do */
    mark_ref record, wait;
    work_poll poll;
    bool begun = false;
};

struct shim_stream {
    std::deque<shim_work> queue;
    bool busy = false;
};

struct shim_event {
    mark_ref mark;        /* NULL: never recorded */
    uint64_t capture = 0; /* recorded in this one, */
    int node = 0;         /* as this node */
};

/* Puts work on a stream, or into the graph that is captured from it. */
cudaError_t shim_add(cudaStream_t stream, shim_work work);
work_poll shim_once(std::function<void()> work);

/* Goes on with a stream as far as that is possible now; until `mark` where that is given. */
void shim_advance(shim_stream *stream, const shim_mark *mark);
/* The same, and waits where it must. */
void shim_drain(shim_stream *stream, const shim_mark *mark);
void shim_drain_all();
void shim_advance_all();
shim_stream *shim_stream_of(cudaStream_t stream);

/* What a call of this function returns before it does anything: a failure on demand, or that the device is lost. */
cudaError_t shim_begins(const char *function);
int shim_failure(const char *function);     /* the first alone, of another library */
cudaError_t shim_failed(cudaError_t error); /* remembers it for cudaGetLastError() */
/* The same; and fails while a graph is captured, since the call may not be made then. */
cudaError_t shim_begins_outside(const char *function);

bool shim_on_device(const void *at, size_t bytes);
double shim_seconds();
extern bool shim_lazy;

/* capture.cpp */
bool shim_is_captured(cudaStream_t stream);
bool shim_is_capturing();
void shim_capture(cudaStream_t stream, shim_work work);
void shim_capture_record(cudaStream_t stream, shim_event *event, unsigned flags);
cudaError_t shim_capture_wait(cudaStream_t stream, shim_event *event, unsigned flags, bool *captured);
cudaError_t shim_spoil_capture(cudaError_t error);

#define BEGIN(name)                                                                                                    \
    do {                                                                                                               \
        cudaError_t error_ = shim_begins(name);                                                                        \
        if (error_ != cudaSuccess) return error_;                                                                      \
    } while (0)
#define BEGIN_OUTSIDE(name)                                                                                            \
    do {                                                                                                               \
        cudaError_t error_ = shim_begins_outside(name);                                                                \
        if (error_ != cudaSuccess) return error_;                                                                      \
    } while (0)

#endif
