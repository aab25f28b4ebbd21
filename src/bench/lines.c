#include "bench/lines.h"

#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* Whether a line of C has code on it; *inside: a comment goes on. Marks of comments in texts are taken for comments, which is
 * rare enough. Scripts and YAML have comments behind '#', which in C starts a directive: code. */
static int has_code(const char *line, int is_script, int *inside) {
    int code = 0;
    for (const char *p = line; *p; p++) {
        if (*inside) {
            if (p[0] == '*' && p[1] == '/') *inside = 0, p++;
        } else if (is_script && *p == '#') {
            break;
        } else if (!is_script && p[0] == '/' && p[1] == '/') {
            break;
        } else if (!is_script && p[0] == '/' && p[1] == '*') {
            *inside = 1, p++;
        } else {
            code |= !isspace((unsigned char)*p);
        }
    }
    return code;
}

static int is_c(const char *path) {
    static const char *const endings[] = {".c", ".h", ".cu", ".cuh", ".m", ".def"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcmp(dot, endings[i])) return 1;
    return 0;
}

static int count_file(const char *path, int64_t *lines) {
    FILE *f = fopen(path, "r");
    if (!f) return fail(STATUS_USAGE, "files: cannot read %s", path);
    int is_script = !is_c(path), inside = 0;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, f) > 0) *lines += has_code(line, is_script, &inside);
    free(line);
    fclose(f);
    return 0;
}

static int count_pattern(const char *pattern, int64_t *lines) {
    glob_t found;
    if (glob(pattern, 0, NULL, &found)) return fail(STATUS_USAGE, "files: nothing is found for %s", pattern);
    int status = 0;
    for (size_t i = 0; i < found.gl_pathc && !status; i++) status = count_file(found.gl_pathv[i], lines);
    globfree(&found);
    return status;
}

int lines_of_files(const char *files, const char *root, int64_t *lines) {
    *lines = 0;
    for (const char *at = files; *at; at += strspn(at, ", ")) {
        char pattern[2048];
        int length = (int)strcspn(at, ", ");
        snprintf(pattern, sizeof pattern, "%s/%.*s", root, length, at);
        TRY(count_pattern(pattern, lines));
        at += length;
    }
    return 0;
}
