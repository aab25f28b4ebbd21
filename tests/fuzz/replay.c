/* Gives a fuzz target each file of a folder: what the fuzzer started from, and what it has found. */
#include "fuzz.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int replay(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f) return 1;
    static uint8_t all[1 << 20];
    size_t size = fread(all, 1, sizeof all, f);
    fclose(f);
    uint8_t *exact = malloc(size ? size : 1); /* so that a read beyond its end is seen */
    if (!exact) return 1;
    for (size_t i = 0; i < size; i++) exact[i] = all[i];
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

int main(int argc, char **argv) {
    DIR *entries = argc == 2 ? opendir(argv[1]) : NULL;
    int seeds = 0, failed = 0;
    if (!entries) {
        fprintf(stderr, "%s FOLDER: the folder of seeds cannot be read\n", argv[0]);
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        failed += replay(argv[1], entry->d_name);
        seeds++;
    }
    closedir(entries);
    printf("%d seeds\n", seeds);
    return failed || !seeds;
}
