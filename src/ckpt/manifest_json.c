/* The manifest as JSON: written and read. manifest.h shows the layout. */
#include <cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ckpt/array.h"
#include "ckpt/blocks_write.h"
#include "ckpt/files.h"
#include "ckpt/manifest.h"

/* The hash stands at a fixed place in front, so that it covers the bytes of the file and not one program's idea of how
 * the same JSON is printed. */
static const char HEAD[] = "{\n\t\"manifest_hash\":\t\"";
enum { HEAD_LENGTH = sizeof HEAD - 1, TEXT_BEGIN = HEAD_LENGTH + DIGEST_SIZE - 1 };

static int append(cJSON *array, cJSON *item) {
    if (item && cJSON_AddItemToArray(array, item)) return 1;
    cJSON_Delete(item);
    return 0;
}

/* 16 digits a block, and a blank between two. NULL: out of memory. */
static char *print_blocks(const struct manifest_file *file) {
    int64_t count = blocks_in(file->bytes);
    char *text = malloc((size_t)count * 17 + 1), *at = text;
    if (!text) return NULL;
    for (int64_t i = 0; i < count; i++) at += sprintf(at, "%s%016" PRIx64, i ? " " : "", file->block[i]);
    *at = '\0';
    return text;
}

static int add_blocks(cJSON *item, const struct manifest_file *file) {
    char *text = print_blocks(file);
    int ok = text && cJSON_AddStringToObject(item, "blocks", text);
    free(text);
    return ok;
}

static int add_files(cJSON *files, const struct manifest *manifest) {
    int ok = files != NULL;
    for (int i = 0; i < manifest->files && ok; i++) {
        char name[SHARD_NAME];
        manifest_file_name(name, manifest, i);
        cJSON *file = cJSON_CreateObject();
        ok = append(files, file) && cJSON_AddStringToObject(file, "name", name) &&
             cJSON_AddNumberToObject(file, "bytes", (double)manifest->file[i].bytes) &&
             add_blocks(file, &manifest->file[i]);
    }
    return ok;
}

static int add_array(cJSON *arrays, const struct manifest_array *array) {
    cJSON *item = cJSON_CreateObject();
    if (!append(arrays, item)) return 0;
    int ok = cJSON_AddStringToObject(item, "name", array->array.name) &&
             cJSON_AddStringToObject(item, "type", dtype_name(array->array.type));
    cJSON *shape = cJSON_AddArrayToObject(item, "shape"), *cuts = cJSON_AddArrayToObject(item, "cuts");
    ok = ok && shape && cuts;
    for (int i = 0; i < array->array.rank && ok; i++)
        ok = append(shape, cJSON_CreateNumber((double)array->array.dim[i]));
    for (int i = 0; i < array->cuts && ok; i++) {
        cJSON *cut = cJSON_CreateArray();
        ok = append(cuts, cut) && append(cut, cJSON_CreateNumber(array->cut[i].shard)) &&
             append(cut, cJSON_CreateNumber((double)array->cut[i].begin)) &&
             append(cut, cJSON_CreateNumber((double)array->cut[i].end)) &&
             append(cut, cJSON_CreateNumber((double)array->cut[i].at));
    }
    return ok;
}

/* Everything but the hash, as text that starts with "{". NULL: out of memory. */
static char *print_content(const struct manifest *manifest) {
    const struct ckpt_meta *meta = &manifest->meta;
    cJSON *root = cJSON_CreateObject();
    int ok = cJSON_AddNumberToObject(root, "format", MANIFEST_FORMAT) &&
             cJSON_AddNumberToObject(root, "step", (double)meta->step) &&
             cJSON_AddNumberToObject(root, "adam_step", (double)meta->adam_step) &&
             cJSON_AddNumberToObject(root, "skipped", (double)meta->skipped) &&
             (!meta->loss_scale || (cJSON_AddNumberToObject(root, "loss_scale", (double)meta->loss_scale) &&
                                    cJSON_AddNumberToObject(root, "scale_steps", (double)meta->scale_steps))) &&
             cJSON_AddNumberToObject(root, "ranks", manifest->ranks) &&
             cJSON_AddStringToObject(root, "written", manifest->written) &&
             add_files(cJSON_AddArrayToObject(root, "files"), manifest);
    cJSON *arrays = cJSON_AddArrayToObject(root, "arrays");
    ok = ok && arrays;
    for (int i = 0; i < manifest->arrays && ok; i++) ok = add_array(arrays, &manifest->array[i]);
    ok = ok && cJSON_AddStringToObject(root, "config", meta->config);
    struct meta_text texts[META_TEXTS];
    manifest_texts((struct ckpt_meta *)meta, texts);
    for (int i = 0; i < META_TEXTS && ok; i++)
        ok = !*texts[i].text || cJSON_AddStringToObject(root, texts[i].key, *texts[i].text);
    char *text = ok ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    return text;
}

int manifest_write(const char *folder, const struct manifest *manifest) {
    char path[PATH_SIZE], hash[DIGEST_SIZE];
    TRY(path_join(path, folder, MANIFEST_NAME));
    char *content = print_content(manifest);
    size_t size = content ? strlen(content) + TEXT_BEGIN + 4 : 0;
    char *text = content ? malloc(size) : NULL;
    if (!text) {
        free(content);
        return fail(STATUS_FAILED, "%s: out of memory", path);
    }
    int length = snprintf(text, size, "%s%032d\",%s\n", HEAD, 0, content + 1);
    digest_hex(XXH3_128bits(text + TEXT_BEGIN, (size_t)length - TEXT_BEGIN), hash);
    memcpy(text + HEAD_LENGTH, hash, DIGEST_SIZE - 1);
    struct manifest_file file;
    int status = blocks_write_text(path, text, length, &file);
    free(file.block);
    free(text);
    free(content);
    return status;
}

/* A whole number in [0, most] at `item`; 0 if that is not what stands there. */
static int get_count(const cJSON *item, int64_t most, int64_t *value) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= (double)most)) return 0;
    *value = (int64_t)item->valuedouble;
    return (double)*value == item->valuedouble;
}

static int get_number(const cJSON *object, const char *key, int64_t most, int64_t *value) {
    return get_count(cJSON_GetObjectItemCaseSensitive(object, key), most, value);
}

static const char *get_text(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* Copies a string that must fit. */
static int copy_text(const cJSON *object, const char *key, char *out, size_t size) {
    const char *text = get_text(object, key);
    if (!text || strlen(text) >= size) return 0;
    strcpy(out, text);
    return 1;
}

static int read_blocks(const cJSON *item, struct manifest_file *file) {
    const char *text = get_text(item, "blocks");
    int64_t count = blocks_in(file->bytes);
    if (!text || strlen(text) != (size_t)(count ? count * 17 - 1 : 0)) return 0;
    file->block = calloc((size_t)count + 1, sizeof *file->block);
    for (int64_t i = 0; i < count && file->block; i++, text += 17) {
        if (strspn(text, "0123456789abcdef") != 16 || (text[16] && text[16] != ' ')) return 0;
        file->block[i] = strtoull(text, NULL, 16);
    }
    return file->block != NULL;
}

static int read_files(const cJSON *files, struct manifest *manifest) {
    manifest->files = cJSON_GetArraySize(files);
    if (!cJSON_IsArray(files) || (manifest->files != manifest->ranks + 1 && manifest->files != manifest->ranks + 2))
        return 0;
    manifest->file = calloc((size_t)manifest->files, sizeof(*manifest->file));
    if (!manifest->file) return 0;
    int i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, files) {
        /* Names are derived, never followed: a manifest cannot point outside of its folder. */
        char name[SHARD_NAME], meant[SHARD_NAME];
        manifest_file_name(meant, manifest, i);
        struct manifest_file *file = &manifest->file[i++];
        if (!copy_text(item, "name", name, sizeof name) || strcmp(name, meant) ||
            !get_number(item, "bytes", EXACT_MAX, &file->bytes) || !read_blocks(item, file))
            return 0;
    }
    return 1;
}

static int read_cuts(const cJSON *cuts, const struct manifest *manifest, struct manifest_array *array) {
    if (!cJSON_IsArray(cuts)) return 0;
    array->cut = calloc((size_t)cJSON_GetArraySize(cuts) + 1, sizeof(*array->cut));
    if (!array->cut) return 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, cuts) {
        int64_t shard;
        struct cut *cut = &array->cut[array->cuts++];
        if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 4 ||
            !get_count(cJSON_GetArrayItem(item, 0), manifest->ranks - 1, &shard) ||
            !get_count(cJSON_GetArrayItem(item, 1), EXACT_MAX, &cut->begin) ||
            !get_count(cJSON_GetArrayItem(item, 2), array->array.end, &cut->end) || cut->begin >= cut->end ||
            !get_count(cJSON_GetArrayItem(item, 3), manifest->file[shard].bytes, &cut->at) ||
            (cut->end - cut->begin) * (int64_t)dtype_size(array->array.type) > manifest->file[shard].bytes - cut->at)
            return 0;
        cut->shard = (int)shard;
    }
    return manifest_check_cuts(array) == 0;
}

static int read_array(const cJSON *item, const struct manifest *manifest, struct manifest_array *array) {
    struct ckpt_array *whole = &array->array;
    const char *type = get_text(item, "type");
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(item, "shape"), *dim;
    int dims = cJSON_GetArraySize(shape);
    if (!copy_text(item, "name", whole->name, sizeof whole->name) || !type || !cJSON_IsArray(shape) ||
        dims > (int)(sizeof whole->dim / sizeof whole->dim[0]))
        return 0;
    for (whole->type = 0; whole->type < DTYPE_COUNT && strcmp(type, dtype_name(whole->type));) whole->type++;
    cJSON_ArrayForEach(dim, shape) {
        if (!get_count(dim, EXACT_MAX, &whole->dim[whole->rank++])) return 0;
    }
    if (array_check(whole)) return 0;
    whole->end = array_elems(whole);
    return read_cuts(cJSON_GetObjectItemCaseSensitive(item, "cuts"), manifest, array);
}

static int read_arrays(const cJSON *arrays, struct manifest *manifest) {
    if (!cJSON_IsArray(arrays)) return 0;
    manifest->array = calloc((size_t)cJSON_GetArraySize(arrays) + 1, sizeof(*manifest->array));
    if (!manifest->array) return 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, arrays) {
        if (!read_array(item, manifest, &manifest->array[manifest->arrays++])) return 0;
    }
    return 1;
}

/* The name of the first key whose value is missing or impossible, or NULL. */
static const char *read_content(const cJSON *root, struct manifest *manifest) {
    struct ckpt_meta *meta = &manifest->meta;
    int64_t ranks;
    if (!get_number(root, "step", EXACT_MAX, &meta->step)) return "step";
    if (!get_number(root, "adam_step", EXACT_MAX, &meta->adam_step)) return "adam_step";
    if (!get_number(root, "skipped", EXACT_MAX, &meta->skipped)) return "skipped";
    if (cJSON_GetObjectItemCaseSensitive(root, "loss_scale")) { /* only where losses are scaled */
        if (!get_number(root, "loss_scale", EXACT_MAX, &meta->loss_scale)) return "loss_scale";
        if (!get_number(root, "scale_steps", EXACT_MAX, &meta->scale_steps)) return "scale_steps";
    }
    if (!get_number(root, "ranks", RANKS_MAX, &ranks) || ranks < 1) return "ranks";
    manifest->ranks = (int)ranks;
    if (!copy_text(root, "written", manifest->written, sizeof manifest->written)) return "written";
    if (!read_files(cJSON_GetObjectItemCaseSensitive(root, "files"), manifest)) return "files";
    if (!read_arrays(cJSON_GetObjectItemCaseSensitive(root, "arrays"), manifest)) return "arrays";
    const char *config = get_text(root, "config");
    meta->config = config ? strdup(config) : NULL;
    if (!meta->config) return "config";
    struct meta_text texts[META_TEXTS];
    manifest_texts(meta, texts);
    for (int i = 0; i < META_TEXTS; i++) {
        if (!cJSON_HasObjectItem(root, texts[i].key)) continue;
        const char *text = get_text(root, texts[i].key);
        *texts[i].text = text ? strdup(text) : NULL;
        if (!*texts[i].text) return texts[i].key;
    }
    return NULL;
}

/* `text` is JSON, whole and unchanged since it was written, and of the format that this build reads. */
static int check_text(const char *folder, const char *text, int64_t length, const cJSON *root) {
    char hash[DIGEST_SIZE];
    if (length == 0) return manifest_bad_file(folder, MANIFEST_NAME, "the file is empty");
    if (!cJSON_IsObject(root)) return manifest_bad_file(folder, MANIFEST_NAME, "this is not JSON");
    int64_t after = length > TEXT_BEGIN ? length - TEXT_BEGIN : 0;
    digest_hex(XXH3_128bits(text + (length - after), (size_t)after), hash);
    if (!after || memcmp(text, HEAD, HEAD_LENGTH) || memcmp(text + HEAD_LENGTH, hash, DIGEST_SIZE - 1))
        return manifest_bad_file(folder, MANIFEST_NAME,
                                 "the content does not match its own hash: it was damaged or edited");
    int64_t format;
    if (!get_number(root, "format", EXACT_MAX, &format) || format != MANIFEST_FORMAT)
        return manifest_bad_file(folder, MANIFEST_NAME,
                                 "the format is not %d, which is what this build reads: take the version of "
                                 "Lockstep that wrote it",
                                 MANIFEST_FORMAT);
    return 0;
}

int manifest_read(const char *folder, struct manifest *manifest) {
    *manifest = (struct manifest){0};
    char path[PATH_SIZE], *text;
    int64_t length;
    TRY(path_join(path, folder, MANIFEST_NAME));
    if (!path_exists(path))
        return manifest_bad_file(folder, "",
                                 path_exists(folder) ? "this is no whole checkpoint: it has no " MANIFEST_NAME
                                                     : "there is no such folder");
    TRY(file_read(path, &text, &length));
    cJSON *root = length ? cJSON_ParseWithLengthOpts(text, (size_t)length + 1, NULL, 1) : NULL;
    int status = check_text(folder, text, length, root);
    if (!status) {
        const char *key = read_content(root, manifest);
        if (key) status = manifest_bad_file(folder, MANIFEST_NAME, "'%s' is missing or impossible", key);
    }
    cJSON_Delete(root);
    free(text);
    if (status) manifest_free(manifest);
    return status;
}
