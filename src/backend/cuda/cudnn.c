/* Opening cuDNN's library; and what there is in a program that was built without its headers. */
#include "backend/cuda/cudnn_graph.h"

#include <stdio.h>

#include "base/check.h"

#ifdef CUDNN_HEADERS

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

int cudnn_check(const struct cudnn *library, cudnnStatus_t status, const char *doing) {
    if (status == CUDNN_STATUS_SUCCESS) return 0;
    char last[256] = "";
    library->GetLastErrorString(last, sizeof last);
    last[strcspn(last, "\n")] = 0;
    return fail(STATUS_FAILED, "cuDNN: %s: %s%s%s", doing, library->GetErrorString(status), *last ? ": " : "", last);
}

/* NULL with a reason where there is none. */
static void *open_file(char *why_not, size_t size) {
    static const char *const names[] = {"libcudnn.so.9", CUDA_LIBRARY_FOLDER "/libcudnn.so.9", "libcudnn.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *file = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (file) return file;
        if (i == 0) snprintf(why_not, size, "cuDNN is not here: %s", dlerror());
    }
    return NULL;
}

/* The file stays open until the process ends: cuDNN and what it loads keep threads and tables of their own. */
static int load_functions(struct cudnn *library, int *usable, char *why_not, size_t size) {
    const struct {
        const char *name;
        size_t offset;
    } functions[] = {
#define F(name) {"cudnn" #name, offsetof(struct cudnn, name)},
        CUDNN_FUNCTIONS(F)
#undef F
    };
    const char *named = getenv("LOCKSTEP_CUDNN"), *path = named && *named ? named : NULL;
    void *file = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : open_file(why_not, size);
    *usable = 0;
    if (path && !file) return fail(STATUS_USAGE, "LOCKSTEP_CUDNN=%s: %s", path, dlerror());
    if (!file) return 0;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *address = dlsym(file, functions[i].name);
        if (!address) return snprintf(why_not, size, "cuDNN has no function %s", functions[i].name), 0;
        memcpy((char *)library + functions[i].offset, &address, sizeof address);
    }
    if (library->GetVersion() < OLDEST_CUDNN)
        snprintf(why_not, size, "cuDNN %zu is older than %d", library->GetVersion(), OLDEST_CUDNN);
    else
        *usable = 1;
    return 0;
}

/* properties NULL: of the current device. */
static int open_device(struct cudnn *library, const char *properties) {
    if (!properties) return cudnn_check(library, library->Create(&library->handle), "opening the device");
    TRY(cudnn_check(library,
                    library->BackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &library->properties),
                    "creating a descriptor"));
    TRY(cudnn_check(library,
                    library->BackendSetAttribute(library->properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                                 CUDNN_TYPE_CHAR, (int64_t)strlen(properties), properties),
                    "setting the properties of a device"));
    return cudnn_check(library, library->BackendFinalize(library->properties), "reading the properties of a device");
}

static int open_library(const char *properties, struct cudnn **library, char *why_not, size_t size) {
    int usable;
    struct cudnn *opened = calloc(1, sizeof *opened);
    *library = NULL;
    if (!opened) return fail(STATUS_FAILED, "out of memory");
    int status = load_functions(opened, &usable, why_not, size);
    if (usable && open_device(opened, properties)) {
        snprintf(why_not, size, "%s", fail_message());
        usable = 0;
    }
    if (usable && !opened->handle && !dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)) {
        snprintf(why_not, size, "cuDNN names no engines without libcuda: %s", dlerror());
        usable = 0;
    }
    if (usable)
        *library = opened;
    else
        cudnn_close(opened);
    return status;
}

int cudnn_open(struct cudnn **library, char *why_not, size_t size) {
    return open_library(NULL, library, why_not, size);
}

int cudnn_open_without_device(const char *properties, struct cudnn **library, char *why_not, size_t size) {
    return open_library(properties, library, why_not, size);
}

void cudnn_close(struct cudnn *library) {
    if (!library) return;
    if (library->properties) library->BackendDestroyDescriptor(library->properties);
    if (library->handle) library->Destroy(library->handle);
    free(library);
}

int64_t cudnn_version(const struct cudnn *library) { return (int64_t)library->GetVersion(); }

#else

static int absent(struct cudnn **library, char *why_not, size_t size) {
    *library = NULL;
    snprintf(why_not, size, "this program was built without the headers of cuDNN 9.10.2 or later");
    return 0;
}

int cudnn_open(struct cudnn **library, char *why_not, size_t size) { return absent(library, why_not, size); }

int cudnn_open_without_device(const char *properties, struct cudnn **library, char *why_not, size_t size) {
    (void)properties;
    return absent(library, why_not, size);
}

/* What follows needs a library, and there is none. */
static int no_cudnn(void) { return fail(STATUS_FAILED, "this program was built without cuDNN"); }

void cudnn_close(struct cudnn *library) { (void)library; }
int64_t cudnn_version(const struct cudnn *library) { return (void)library, 0; }

int cudnn_attention_make(struct cudnn *library, const struct cudnn_attention_shape *shape, int backward,
                         const char *choice, struct cudnn_attention **graph) {
    (void)library, (void)shape, (void)backward, (void)choice;
    *graph = NULL;
    return no_cudnn();
}

void cudnn_attention_free(struct cudnn_attention *graph) { (void)graph; }
int64_t cudnn_attention_workspace(const struct cudnn_attention *graph) { return (void)graph, 0; }
const char *cudnn_attention_describe(const struct cudnn_attention *graph) { return (void)graph, ""; }

int cudnn_attention_bind(const struct cudnn_attention *graph, const struct cudnn_attention_operands *operands,
                         struct cudnn_attention_call **call) {
    (void)graph, (void)operands;
    *call = NULL;
    return no_cudnn();
}

void cudnn_attention_unbind(struct cudnn_attention_call *call) { (void)call; }

int cudnn_attention_run(const struct cudnn_attention_call *call, void *stream) {
    (void)call, (void)stream;
    return no_cudnn();
}

#endif
