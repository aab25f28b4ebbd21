/* Which GPUs the ranks have. Launchers may show each rank the GPUs of its host or its own alone, so counting says little: GPUs have names. */
#include "backend/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct card {
    int there, may_share;
    char uuid[16];
};

static struct card my_card(const struct comm *comm) {
    struct card card = {0};
    struct cudaDeviceProp properties;
    int count = cuda_devices();
    card.may_share = getenv("NCCL_HOSTID") != NULL;
    if (!count || cudaGetDeviceProperties(&properties, cuda_number(comm, count)) != cudaSuccess) return card;
    card.there = 1;
    memcpy(card.uuid, &properties.uuid, sizeof card.uuid);
    return card;
}

static int is_shared(const struct card *cards, int ranks, int rank) {
    for (int r = 0; r < ranks; r++)
        if (r != rank && cards[r].there && !memcmp(cards[r].uuid, cards[rank].uuid, sizeof cards[r].uuid)) return 1;
    return 0;
}

int cuda_survey(struct comm *comm, struct gpu_survey *survey) {
    int ranks = comm ? comm->size : 1;
    struct card *cards = calloc((size_t)ranks, sizeof *cards), mine = my_card(comm);
    *survey = (struct gpu_survey){.lacking = NONE, .sharing = NONE, .may_share = 1};
    if (!cards) return fail(STATUS_FAILED, "out of memory");
    cards[0] = mine;
    int status = comm ? comm_gather_equal(comm, &mine, cards, sizeof mine) : 0;
    for (int r = ranks - 1; r >= 0; r--) {
        if (!cards[r].there)
            survey->lacking = r;
        else if (is_shared(cards, ranks, r))
            survey->sharing = r;
        survey->found += cards[r].there;
        survey->may_share &= cards[r].may_share;
    }
    free(cards);
    return status;
}
