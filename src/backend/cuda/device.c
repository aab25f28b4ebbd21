/* Which GPU a rank has, and what the runtime's errors mean to a user. */
#include "backend/cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

#ifndef CUDA_ARCHITECTURES
#define CUDA_ARCHITECTURES "?"
#endif

static struct cudaDeviceProp properties;
static int number, opened;

const struct cudaDeviceProp *cuda_device(void) { return opened ? &properties : NULL; }

/* "GPU 3 (NVIDIA H200, 0000:1b:00)". */
static void name_device(char text[320]) {
    if (opened)
        snprintf(text, 320, "GPU %d (%s, %04x:%02x:%02x)", number, properties.name, (unsigned)properties.pciDomainID,
                 (unsigned)properties.pciBusID, (unsigned)properties.pciDeviceID);
    else
        snprintf(text, 320, "GPU %d", number);
}

static const struct {
    cudaError_t error;
    const char *advice;
} known[] = {
    {cudaErrorMemoryAllocation,
     "less memory take: a smaller train.micro_batch, train.recompute: block, "
     "train.precision: bf16, or dist.zero: 2 on more ranks ('lockstep plan' tells how much)"},
    {cudaErrorECCUncorrectable,
     "its memory has failed: take it out of use ('nvidia-smi -q -d ECC', then a reset by the administrator) and go on "
     "elsewhere with 'lockstep train --resume'; the last checkpoint is whole"},
    {cudaErrorNoKernelImageForDevice, "this build has kernels for compute capability " CUDA_ARCHITECTURES
                                      "; configure with -DLOCKSTEP_CUDA_ARCHITECTURES=… for this GPU and build again"},
    {cudaErrorInsufficientDriver,
     "the driver is older than this build's CUDA runtime: update it, or build with an older toolkit"},
    {cudaErrorIllegalAddress,
     "this is a defect of Lockstep: please report it with the config and 'lockstep --version'"},
    {cudaErrorLaunchFailure, "this is a defect of Lockstep: please report it with the config and 'lockstep --version'"},
};

int cuda_check(cudaError_t error, const char *doing) {
    if (error == cudaSuccess) return 0;
    char device[320];
    const char *advice = NULL;
    name_device(device);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].error == error) advice = known[i].advice;
    return fail(STATUS_FAILED, "%s: %s (%s) while %s%s%s", device, cudaGetErrorString(error), cudaGetErrorName(error),
                doing, advice ? "; " : "", advice ? advice : "");
}

/* How many GPUs this process sees; 0 with the reason as this thread's failure. */
static int count_devices(void) {
    int count = 0, driver = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0) return count;
    cudaGetLastError();
    cudaDriverGetVersion(&driver);
    if (driver == 0)
        fail(STATUS_FAILED, "backend cuda: there is no NVIDIA driver on this machine; 'backend: cpu' runs without");
    else if (error == cudaSuccess || error == cudaErrorNoDevice)
        fail(STATUS_FAILED, "backend cuda: the driver shows no GPU (see nvidia-smi, and CUDA_VISIBLE_DEVICES); "
                            "'backend: cpu' runs without");
    else
        cuda_check(error, "looking for GPUs");
    return 0;
}

enum { OLDEST_MAJOR = 8 };

/* Else kernels are loaded when they run first: memory that a step would take. Before the first call of the runtime. */
static void load_kernels_at_once(void) { setenv("CUDA_MODULE_LOADING", "EAGER", 0); }

int cuda_devices(void) {
    int count = 0, driver = 0;
    load_kernels_at_once();
    struct cudaDeviceProp first;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0) error = cudaGetDeviceProperties(&first, 0);
    if (error == cudaSuccess && count > 0) return first.major >= OLDEST_MAJOR ? count : 0;
    cudaGetLastError(); /* it is not the next call's */
    cudaDriverGetVersion(&driver);
    if (error != cudaSuccess && error != cudaErrorNoDevice && driver)
        log_line("warning: there is a driver for GPUs, but they cannot be used: %s (%s); the CPU computes",
                 cudaGetErrorString(error), cudaGetErrorName(error));
    return 0;
}

/* The number of this rank among those of its host. */
static int local_rank(const struct comm *comm) {
    int local = 0;
    for (int r = 0; comm && comm->peers && r < comm->rank; r++) local += !strcmp(comm->peers[r].host, comm->host);
    return local;
}

int cuda_number(const struct comm *comm, int count) { return local_rank(comm) % count; }

int cuda_open_device(const struct comm *comm) {
    if (opened) return 0;
    load_kernels_at_once();
    int count = count_devices();
    if (!count) return STATUS_FAILED;
    number = cuda_number(comm, count);
    TRY(cuda_check(cudaSetDevice(number), "choosing a GPU"));
    TRY(cuda_check(cudaGetDeviceProperties(&properties, number), "choosing a GPU"));
    if (properties.major < OLDEST_MAJOR)
        return fail(
            STATUS_FAILED,
            "backend cuda: %s has compute capability %d.%d; Lockstep needs 8.0 or newer (A100, RTX 30 and later)",
            properties.name, properties.major, properties.minor);
    opened = 1;
    return 0;
}
