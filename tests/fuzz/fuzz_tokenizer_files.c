/* vocab.json with merges.txt (a zero byte between them), or a .tiktoken file: refused, or a tokenizer. The first byte chooses. */
#include "fuzz.h"

#include <string.h>

#include "tokenizer/vocabulary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct vocabulary v = {0};
    struct tokenizer *t;
    if (!size) return 0;
    const char *text = (const char *)data + 1;
    int64_t length = (int64_t)size - 1;
    int status;
    if (data[0] % 2) {
        status = read_tiktoken(text, length, "fuzz", &v);
    } else {
        const char *zero = length ? memchr(text, 0, (size_t)length) : NULL;
        int64_t first = zero ? zero - text : length, second = zero ? length - first - 1 : 0;
        status = read_vocab_merges(text, first, zero ? zero + 1 : text, second, "fuzz", &v);
    }
    if (status)
        vocabulary_free(&v);
    else if (!tokenizer_build(&v, "fuzz", &t))
        tokenizer_close(t);
    return 0;
}
