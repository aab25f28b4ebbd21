/* Graphs of the shim: what is put on streams while one of them is captured becomes nodes, in the order of the calls, and each launch puts them on
 * streams of the graph's own. Rules are CUDA's: another stream joins by waiting for an event of the capture, and must be joined again
 * before its end; the outside is reached by external events alone; nothing may wait. */
#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <map>

namespace {

struct node {
    int stream; /* of the graph's own; 0 is the one whose capture began */
    shim_work work;
    bool records = false;
    int waits_for = -1;             /* the node that records */
    shim_event *external = nullptr; /* recorded, or waited for, outside */
};

} // namespace

struct shim_graph {
    std::vector<node> nodes;
    int streams = 1;
};

struct shim_graph_exec {
    std::vector<node> nodes;
    std::vector<shim_stream *> streams;
};

static struct {
    bool active = false;
    uint64_t number = 0;
    cudaError_t spoiled = cudaSuccess;
    std::map<shim_stream *, int> members;
    shim_graph *graph = nullptr;
    shim_stream *origin = nullptr;
} capture;

bool shim_is_capturing() { return capture.active; }

bool shim_is_captured(cudaStream_t stream) {
    return capture.active && capture.members.count(shim_stream_of(stream)) > 0;
}

cudaError_t shim_spoil_capture(cudaError_t error) {
    if (capture.active) capture.spoiled = cudaErrorStreamCaptureInvalidated;
    return shim_failed(error);
}

static node &add_node(cudaStream_t stream) {
    node n;
    n.stream = capture.members[shim_stream_of(stream)];
    capture.graph->nodes.push_back(n);
    return capture.graph->nodes.back();
}

void shim_capture(cudaStream_t stream, shim_work work) { add_node(stream).work = std::move(work); }

void shim_capture_record(cudaStream_t stream, shim_event *event, unsigned flags) {
    node &n = add_node(stream);
    n.records = true;
    if (flags == cudaEventRecordExternal) {
        n.external = event;
        return;
    }
    event->capture = capture.number;
    event->node = (int)capture.graph->nodes.size() - 1;
}

cudaError_t shim_capture_wait(cudaStream_t stream, shim_event *event, unsigned flags, bool *captured) {
    const bool member = shim_is_captured(stream), ours = capture.active && event->capture == capture.number;
    *captured = true;
    if (flags == cudaEventWaitExternal) {
        if (!member) return shim_failed(cudaErrorInvalidValue);
        add_node(stream).external = event;
        return cudaSuccess;
    }
    if (event->capture && !ours) return shim_spoil_capture(cudaErrorCapturedEvent);
    if (!ours && member) return shim_spoil_capture(cudaErrorStreamCaptureIsolation);
    if (!ours) {
        *captured = false;
        return cudaSuccess;
    }
    if (!member) capture.members[shim_stream_of(stream)] = capture.graph->streams++;
    add_node(stream).waits_for = event->node;
    return cudaSuccess;
}

/* Whether all that stream `s` does comes before the end of stream 0: by an event after it, for which stream 0, or one that is joined later, waits. */
static bool is_joined(const shim_graph *graph, int s) {
    int last = -1;
    for (int i = 0; i < (int)graph->nodes.size(); i++)
        if (graph->nodes[i].stream == s && (graph->nodes[i].work.begin || graph->nodes[i].waits_for >= 0)) last = i;
    for (int i = last + 1; i < (int)graph->nodes.size(); i++) {
        const node &n = graph->nodes[i];
        if (n.stream == 0 && n.waits_for > last && graph->nodes[n.waits_for].stream == s) return true;
    }
    return false;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    (void)mode;
    BEGIN("cudaStreamBeginCapture");
    if (capture.active) return shim_failed(cudaErrorInvalidValue);
    capture.active = true;
    capture.number++;
    capture.spoiled = cudaSuccess;
    capture.members.clear();
    capture.origin = shim_stream_of(stream);
    capture.members[capture.origin] = 0;
    capture.graph = new shim_graph;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    BEGIN("cudaStreamEndCapture");
    if (!capture.active || shim_stream_of(stream) != capture.origin) return shim_failed(cudaErrorInvalidValue);
    capture.active = false;
    cudaError_t error = capture.spoiled;
    for (int s = 1; s < capture.graph->streams && error == cudaSuccess; s++)
        if (!is_joined(capture.graph, s)) error = cudaErrorStreamCaptureUnjoined;
    *graph = error == cudaSuccess ? capture.graph : nullptr;
    if (error != cudaSuccess) delete capture.graph;
    capture.graph = nullptr;
    return error == cudaSuccess ? error : shim_failed(error);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
    (void)flags;
    BEGIN_OUTSIDE("cudaGraphInstantiate");
    *exec = new shim_graph_exec;
    (*exec)->nodes = graph->nodes;
    for (int s = 0; s < graph->streams; s++) {
        cudaStream_t stream;
        cudaStreamCreateWithFlags(&stream, 0);
        (*exec)->streams.push_back(stream);
    }
    return cudaSuccess;
}

static void wait_for(shim_stream *stream, mark_ref mark) {
    shim_work work;
    work.wait = mark;
    if (mark) shim_add(stream, work);
}

static mark_ref record_on(shim_stream *stream) {
    shim_work work;
    work.record = std::make_shared<shim_mark>();
    work.record->stream = stream;
    shim_add(stream, work);
    return work.record;
}

/* SHIM_REPORT=1: how many graphs were launched is printed at the end. */
static struct counter {
    long launches = 0, nodes = 0;
    ~counter() {
        if (getenv("SHIM_REPORT")) fprintf(stderr, "shim: %ld graphs launched, of %ld nodes\n", launches, nodes);
    }
} counter;

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t on) {
    BEGIN_OUTSIDE("cudaGraphLaunch");
    counter.launches++;
    counter.nodes += (long)exec->nodes.size();
    shim_stream *stream = shim_stream_of(on);
    std::vector<mark_ref> marks(exec->nodes.size());
    const mark_ref begin = record_on(stream);
    for (shim_stream *s : exec->streams) wait_for(s, begin);
    for (size_t i = 0; i < exec->nodes.size(); i++) {
        const node &n = exec->nodes[i];
        shim_stream *s = exec->streams[n.stream];
        if (n.records) {
            marks[i] = record_on(s);
            if (n.external) n.external->mark = marks[i], n.external->capture = 0;
        } else if (n.external) {
            wait_for(s, n.external->mark);
        } else if (n.waits_for >= 0) {
            wait_for(s, marks[n.waits_for]);
        } else {
            shim_add(s, n.work);
        }
    }
    for (shim_stream *s : exec->streams) wait_for(stream, record_on(s));
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    for (shim_stream *s : exec->streams) cudaStreamDestroy(s);
    delete exec;
    return cudaSuccess;
}
