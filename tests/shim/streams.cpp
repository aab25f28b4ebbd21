/* Streams and events of the shim. A stream is a queue of work, which goes on whenever the program calls the runtime: as far as it can where the
 * schedule is not lazy, else as far as somebody waits for it. */
#include "runtime.h"

#include <map>
#include <sched.h>

bool shim_lazy = false;

static shim_stream default_stream;
static std::map<shim_stream *, bool> streams;

shim_stream *shim_stream_of(cudaStream_t stream) { return stream ? stream : &default_stream; }

work_poll shim_once(std::function<void()> work) {
    return [work] {
        work();
        return true;
    };
}

/* Whether the first work of the queue is done, and gone. */
static bool step(shim_stream *stream) {
    shim_work &next = stream->queue.front();
    if (next.wait && !next.wait->passed && next.wait->stream != stream) {
        shim_advance(next.wait->stream, next.wait.get());
        if (!next.wait->passed) return false;
    }
    if (next.begin && !next.begun) {
        next.poll = next.begin();
        next.begun = true;
    }
    if (next.poll && !next.poll()) return false;
    if (next.record) {
        next.record->passed = true;
        next.record->at = shim_seconds();
    }
    stream->queue.pop_front();
    return true;
}

void shim_advance(shim_stream *stream, const shim_mark *mark) {
    if (stream->busy) return;
    stream->busy = true;
    while (!stream->queue.empty() && !(mark && mark->passed) && step(stream)) continue;
    stream->busy = false;
}

void shim_drain(shim_stream *stream, const shim_mark *mark) {
    for (;;) {
        shim_advance(stream, mark);
        if (stream->queue.empty() || (mark && mark->passed)) return;
        sched_yield();
    }
}

void shim_drain_all() {
    shim_drain(&default_stream, nullptr);
    for (auto &s : streams) shim_drain(s.first, nullptr);
}

void shim_advance_all() {
    for (auto &s : streams) shim_advance(s.first, nullptr);
}

static void put(shim_stream *stream, shim_work work) {
    stream->queue.push_back(std::move(work));
    if (!shim_lazy) shim_advance(stream, nullptr);
}

cudaError_t shim_add(cudaStream_t stream, shim_work work) {
    if (shim_is_captured(stream))
        shim_capture(stream, std::move(work));
    else
        put(shim_stream_of(stream), std::move(work));
    return cudaSuccess;
}

void shim_enqueue(shim_stream *stream, std::function<void()> what) {
    shim_work work;
    work.begin = [what] { return shim_once(what); };
    shim_add(stream, work);
}

/* ---- include/cuda_runtime_api.h ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    (void)flags;
    BEGIN("cudaStreamCreateWithFlags");
    *stream = new shim_stream;
    streams[*stream] = true;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority) {
    (void)priority;
    BEGIN("cudaStreamCreateWithPriority");
    return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    shim_drain(stream, nullptr);
    streams.erase(stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    BEGIN("cudaStreamSynchronize");
    if (shim_is_captured(stream)) return shim_spoil_capture(cudaErrorStreamCaptureUnsupported);
    shim_drain(shim_stream_of(stream), nullptr);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    BEGIN("cudaStreamQuery");
    if (shim_is_captured(stream)) return shim_spoil_capture(cudaErrorStreamCaptureUnsupported);
    shim_stream *s = shim_stream_of(stream);
    if (s->queue.empty()) return cudaSuccess;
    if (!s->busy) step(s);
    return shim_failed(cudaErrorNotReady);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    BEGIN("cudaStreamWaitEvent");
    bool captured = false;
    cudaError_t error = shim_capture_wait(stream, event, flags, &captured);
    if (error != cudaSuccess || captured || !event->mark) return error;
    shim_work work;
    work.wait = event->mark;
    put(shim_stream_of(stream), work);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    (void)flags;
    BEGIN("cudaEventCreateWithFlags");
    *event = new shim_event();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
    BEGIN("cudaEventRecord");
    if (shim_is_captured(stream)) {
        shim_capture_record(stream, event, flags);
        return cudaSuccess;
    }
    event->capture = 0;
    event->mark = std::make_shared<shim_mark>();
    event->mark->stream = shim_stream_of(stream);
    shim_work work;
    work.record = event->mark;
    put(shim_stream_of(stream), work);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    BEGIN("cudaEventSynchronize");
    if (event->capture) return shim_spoil_capture(cudaErrorCapturedEvent);
    if (event->mark && !event->mark->passed) shim_drain(event->mark->stream, event->mark.get());
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    BEGIN("cudaEventQuery");
    if (event->capture) return shim_spoil_capture(cudaErrorCapturedEvent);
    if (!event->mark || event->mark->passed) return cudaSuccess;
    shim_stream *s = event->mark->stream;
    if (!s->busy && !s->queue.empty()) step(s);
    return shim_failed(cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    BEGIN("cudaEventElapsedTime");
    if (!begin->mark || !end->mark || !begin->mark->passed || !end->mark->passed) return shim_failed(cudaErrorNotReady);
    *milliseconds = (float)(1e3 * (end->mark->at - begin->mark->at));
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void) {
    BEGIN_OUTSIDE("cudaDeviceSynchronize");
    shim_drain_all();
    return cudaSuccess;
}
