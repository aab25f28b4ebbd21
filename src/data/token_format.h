/* What the formats of token files share. Only the token_*.c files include this. */
#ifndef DATA_TOKEN_FORMAT_H
#define DATA_TOKEN_FORMAT_H

#include "data/token_file.h"

enum { NATIVE_HEADER = 256, NATIVE_VERSION = 1, LLMC_HEADER = 1024, LONGEST_NAME = 1024 };
enum { LLMC_MAGIC_U16 = 20240520, LLMC_MAGIC_U32 = 20240801 };
#define NATIVE_MAGIC   "LOCKTOKS"
#define MEGATRON_MAGIC "MMIDIDX\0\0"

/* A file as a whole: mapped; of size 0 it is not mapped. */
struct mapped {
    const uint8_t *bytes;
    int64_t size;
};

int map_file(const char *path, struct mapped *file);
void unmap_file(struct mapped *file);

/* Little-endian numbers anywhere in memory. */
uint32_t get_u32(const uint8_t *p);
uint64_t get_u64(const uint8_t *p);
void put_u32(uint8_t *p, uint32_t value);
void put_u64(uint8_t *p, uint64_t value);

/* Each fills *tokens from the mapped file, which stays the caller's. `path` leads messages. */
int open_native(struct tokens *tokens, const struct mapped *file, const char *path);
int open_nanogpt(struct tokens *tokens, const struct mapped *file, const char *path);
int open_llmc(struct tokens *tokens, const struct mapped *file, const char *path);
int open_megatron(struct tokens *tokens, const struct mapped *file, const char *path); /* of NAME.bin; reads NAME.idx */

/* Finds a contiguous dataset: its width, and where its elements lie in the file FILE.h5, whose name goes to `file`. */
int find_hdf5(const char *path, char file[LONGEST_NAME], int *width, int64_t *count, int64_t *offset);

#endif
