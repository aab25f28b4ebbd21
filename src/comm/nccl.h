/* NCCL: what ranks with a GPU each send each other from device to device. In builds with CUDA.
 *
 * Calls put work on a stream and return; the order of all calls is the same on all ranks, since NCCL matches messages of a pair by
 * their order alone. The library is opened when it is needed first: ranks of one, and CPUs, do without it. Nothing here needs an MPI
 * that knows of GPUs: MPI carries the id by which the ranks find each other, and what is said of failures. */
#ifndef COMM_NCCL_H
#define COMM_NCCL_H

#include <cuda_runtime_api.h>

#include "comm/comm.h"

struct nccl;

/* Meets all ranks of `comm`; collective. This process's GPU is the current one. Fails, naming what is missing, within
 * comm->phase.timeout_s. *nccl is the caller's. */
int nccl_open(struct comm *comm, struct nccl **nccl);

/* "NCCL 2.28.3", or "no NCCL". */
void nccl_library(char text[32]);

/* All of it at once, from and into memory of the device: sends and receives of a pair of ranks meet in their order. */
int nccl_exchange(struct nccl *nccl, const struct comm_message *sends, int n_sends, const struct comm_message *receives,
                  int n_receives, cudaStream_t stream);

/* The library's own sum (struct comm_sum). */
int nccl_sum(struct nccl *nccl, const struct comm_sum *sum, cudaStream_t stream);

/* What has failed on its own since: a connection, a peer. Takes a few seconds then, in which comm_watch() may find out why. */
int nccl_check(struct nccl *nccl);

/* Ends what is under way and does not come back, so that the device can be left; takes a few seconds at most. After a failure only. */
void nccl_abort(struct nccl *nccl);

/* Nothing may be under way. */
void nccl_close(struct nccl *nccl);

#endif
