/* What a GPU is, and what it computes with. */
#include <stdio.h>
#include <string.h>

#include "backend/cuda/cuda.h"
#include "base/check.h"
#include "comm/nccl.h"

/* As nvidia-smi writes it: GPU-8c3e6a5e-…, in groups of 4, 2, 2, 2 and 6 bytes. */
static void write_id(const char *bytes, char text[48]) {
    size_t used = (size_t)snprintf(text, 48, "GPU-");
    for (int i = 0; i < 16; i++) {
        const char *between = i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";
        used += (size_t)snprintf(text + used, 48 - used, "%s%02x", between, (unsigned char)bytes[i]);
    }
}

int cuda_describe(const struct comm *comm, struct device_info *info) {
    size_t available = 0, total = 0;
    int driver = 0, runtime = 0;
    char nccl[32];
    *info = (struct device_info){0};
    TRY(cuda_open_device(comm));
    TRY(cuda_open_blas());
    TRY(cuda_check(cudaMemGetInfo(&available, &total), "asking for its memory"));
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    nccl_library(nccl);
    snprintf(info->name, sizeof info->name, "%.127s", cuda_device()->name);
    write_id(cuda_device()->uuid.bytes, info->id);
    snprintf(info->versions, sizeof info->versions, "driver for CUDA %d.%d, runtime %d.%d, cuBLASLt %s, %s",
             driver / 1000, driver / 10 % 100, runtime / 1000, runtime / 10 % 100, cuda_blas_version(), nccl);
    info->memory = (int64_t)total;
    info->free_memory = (int64_t)available;
    return 0;
}
